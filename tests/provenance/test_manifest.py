"""Laws of the seal: it names what made the file, holds as long as nothing changes, and breaks at one byte."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("c2pa")

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kinema.errors import InputError, KinemaError
from kinema.media import Clip
from kinema.provenance import Identity, identity_from, own_identity, read_manifest, settings_hash, sign
from kinema.provenance import identity as identities
from kinema.scene.scene import Scene

SETTINGS = {"prompt": "a red ball rolls", "seed": 3, "size": "64x64"}
MADE_AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return own_identity(tmp_path_factory.mktemp("home") / "identity")


def saved(path: Path, state: Scene | None = None) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (8 if path.suffix == ".mp4" else 1, 64, 64, 3), dtype=np.uint8)
    return Clip(frames=frames, fps=16.0, caption="a ball", settings=SETTINGS, state=state).save(path)


def signed(path: Path, me: Identity, **more: int) -> Path:
    return sign(saved(path), me, model="kinema-tiny", settings=SETTINGS, made_at=MADE_AT, title="a ball", **more)


def flip(path: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    copy = path.with_stem("flipped")
    copy.write_bytes(data)
    return copy


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.jpg"])
def test_a_signed_file_says_what_made_it_and_is_still_the_same_clip(name: str, me: Identity, tmp_path: Path) -> None:
    path = saved(tmp_path / name)
    before = Clip.open(path)
    sign(path, me, model="kinema-tiny", settings=SETTINGS, made_at=MADE_AT, title="a ball", watermark_id=0xABCDEF0123)
    told = read_manifest(path, me.anchors)
    assert (told.state, told.trusted, told.model, told.signer) == ("valid", True, "kinema-tiny", "Kinema")
    assert (told.made_at, told.watermark_id, told.title) == ("2026-05-04T12:30:00+00:00", 0xABCDEF0123, "a ball")
    assert told.settings_hash == settings_hash(dict(reversed(SETTINGS.items())))
    after = Clip.open(path)
    assert np.array_equal(after.frames, before.frames)
    assert (after.settings, after.caption, after.fps) == (before.settings, before.caption, before.fps)


def test_one_flipped_byte_of_the_pictures_breaks_the_seal(me: Identity, tmp_path: Path) -> None:
    film, picture = signed(tmp_path / "a.mp4", me), signed(tmp_path / "a.png", me)
    broken = read_manifest(flip(film, film.read_bytes().index(b"mdat") + 999), me.anchors)
    assert (broken.state, broken.trusted) == ("invalid", False) and "mismatch" in broken.reason
    assert read_manifest(flip(picture, picture.stat().st_size - 500), me.anchors).state == "invalid"


def test_a_changed_claim_breaks_the_seal(me: Identity, tmp_path: Path) -> None:
    path = signed(tmp_path / "a.mp4", me)
    assert read_manifest(flip(path, path.read_bytes().index(b"kinema-tiny")), me.anchors).state == "invalid"


def test_without_its_root_a_signature_is_valid_and_not_trusted(me: Identity, tmp_path: Path) -> None:
    path = signed(tmp_path / "a.mp4", me)
    other = own_identity(tmp_path / "other")
    for anchors in (b"", other.anchors, b"no certificate"):
        told = read_manifest(path, anchors)
        assert told.state in ("valid", "invalid") and not told.trusted
    assert read_manifest(path).state == "valid" and "untrusted" in read_manifest(path).reason


def test_a_signed_file_may_be_read_by_whom_it_was_before(me: Identity, tmp_path: Path) -> None:
    for mode in (0o600, 0o664):
        path = saved(tmp_path / f"{mode:o}.png")
        path.chmod(mode)
        sign(path, me, model="m", settings={})
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_signing_twice_leaves_one_seal_that_holds(me: Identity, tmp_path: Path) -> None:
    path = sign(signed(tmp_path / "a.mp4", me), me, model="second", settings={})
    assert (read_manifest(path, me.anchors).model, read_manifest(path, me.anchors).trusted) == ("second", True)


def test_a_file_without_a_manifest_or_of_another_kind_has_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.png").touch()
    for path in (saved(tmp_path / "a.mp4"), saved(tmp_path / "a.webp"), tmp_path / "text.mp4", tmp_path / "empty.png"):
        assert read_manifest(path).state == "none"


def test_what_cannot_be_signed_is_left_as_it_was(me: Identity, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one of"):
        sign(saved(tmp_path / "a.webp"), me, model="m", settings={})
    with pytest.raises(InputError, match="does not exist"):
        sign(tmp_path / "none.mp4", me, model="m", settings={})
    path = saved(tmp_path / "a.mp4")
    before = path.read_bytes()
    with pytest.raises(InputError, match="plain JSON"):
        sign(path, me, model="m", settings={"a": object()})
    other = own_identity(tmp_path / "other")
    with pytest.raises(KinemaError, match="certificates and the key"):
        sign(path, replace(me, key=other.key), model="m", settings={})
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"a.webp", "a.mp4", "other"}


def test_an_own_identity_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    first = own_identity(tmp_path / "deep" / "identity")
    assert own_identity(tmp_path / "deep" / "identity") == first
    files = list((tmp_path / "deep" / "identity").iterdir())
    assert len(files) == 4 and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert stat.S_IMODE((tmp_path / "deep" / "identity").stat().st_mode) == 0o700
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["identity"]
    (tmp_path / "deep" / "identity" / "key.pem").unlink()
    with pytest.raises(InputError, match=r"key\.pem"):
        own_identity(tmp_path / "deep" / "identity")


def test_a_leaf_in_its_last_year_is_renewed_under_the_same_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(identities, "YEAR", timedelta(days=20))
    first = own_identity(tmp_path / "identity")
    monkeypatch.undo()
    second = own_identity(tmp_path / "identity")
    assert first.chain != second.chain and (first.anchors, first.key) == (second.anchors, second.key)
    assert read_manifest(signed(tmp_path / "a.mp4", second), first.anchors).trusted


def test_the_operators_own_certificates_sign_as_well(me: Identity, tmp_path: Path) -> None:
    """A P-384 key under a root of its own, as an operator would bring it."""
    key, root_key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Operator")])
    root_name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Operator's root")])
    root = identities._certificate(root_name, root_name, root_key, root_key, timedelta(days=99))
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = root.add_extension(identities._usage(signs_certificates=True), critical=True)
    leaf = identities._certificate(name, root_name, key, root_key, timedelta(days=9))
    leaf = leaf.add_extension(identities._usage(signs_certificates=False), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    pems = [made.sign(root_key, identities._sha256()).public_bytes(Encoding.PEM) for made in (leaf, root)]
    (tmp_path / "chain.pem").write_bytes(b"".join(pems))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    operator = identity_from(tmp_path / "chain.pem", tmp_path / "key.pem")
    told = read_manifest(signed(tmp_path / "a.mp4", operator), operator.anchors)
    assert (told.trusted, told.signer) == (True, "Operator")
    with pytest.raises(InputError, match="no CERTIFICATE"):
        identity_from(tmp_path / "key.pem", tmp_path / "key.pem")
    with pytest.raises(InputError, match="cannot be read"):
        identity_from(tmp_path / "none.pem", tmp_path / "key.pem")
