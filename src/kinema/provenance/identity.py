"""Who signs: a key with its certificates, Kinema's own or the operator's.

A manifest is signed by a leaf certificate that a root vouches for. Whoever runs Kinema without certificates of their own gets
both at the first start: a root that only ever signs leaves, and a leaf of the kind that C2PA asks for (P-256, digitalSignature,
emailProtection, an organization). Nothing is fetched. Others believe such a signature once they are given the root's
certificate, `ca.pem`, which is not secret; the two keys are.

Without a time stamping service a signature is believed as long as its leaf lasts, so the leaf lasts ten years; one in its
last year is replaced at the next start.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.errors import InputError, OutputError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ORGANIZATION = "Kinema"
ROOT, ROOT_KEY, CHAIN, KEY = "ca.pem", "ca-key.pem", "chain.pem", "key.pem"
YEAR = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """chain: certificates in PEM, the leaf first; key: the leaf's private key in PEM; anchors: the root certificates in PEM
    that a reader has to trust."""

    chain: bytes
    key: bytes
    anchors: bytes

    def __post_init__(self) -> None:
        for name, text, mark in (("chain", self.chain, b"CERTIFICATE"), ("key", self.key, b"PRIVATE KEY")):
            if mark not in text:
                raise InputError(f"the {name} to sign with holds no {mark.decode()} in PEM; name another file")

    @property
    def algorithm(self) -> bytes:
        """What C2PA calls the way in which this kind of key signs."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(self.key, None)
        except (ValueError, TypeError) as error:
            raise InputError(f"the key to sign with cannot be read ({error}); expected an open PEM key") from None
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in (256, 384, 521):
            return {256: b"es256", 384: b"es384", 521: b"es512"}[key.curve.key_size]
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return b"ed25519"
        if isinstance(key, rsa.RSAPrivateKey):
            return b"ps256"
        raise InputError("the key to sign with is of a kind that C2PA does not know; expected P-256, Ed25519 or RSA")

    def __repr__(self) -> str:
        return f"Identity({len(self.chain)} bytes of certificates)"


def own_identity(folder: Path) -> Identity:
    """The identity kept in a folder, made there if there is none.

    OutputError: the folder cannot be written. InputError: it holds other things, or only a part of an identity.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        _make(folder)
    missing = [name for name in (ROOT, ROOT_KEY, CHAIN, KEY) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} holds no {', '.join(missing)}; put the files back, or name an empty folder")
    _renew(folder)
    return identity_from(folder / CHAIN, folder / KEY, folder / ROOT)


def identity_from(chain: Path, key: Path, anchors: Path | None = None) -> Identity:
    """The operator's own files in PEM; without anchors the last certificate of the chain is the one to trust."""
    try:
        texts = [path.read_bytes() for path in (chain, key)]
        roots = anchors.read_bytes() if anchors is not None else _last(texts[0])
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}; it is needed to sign clips") from None
    return Identity(chain=texts[0], key=texts[1], anchors=roots)


def _last(chain: bytes) -> bytes:
    begin = b"-----BEGIN CERTIFICATE-----"
    return begin + chain.rpartition(begin)[2]


def _make(folder: Path) -> None:
    """All files in a new folder, which takes its name when it is whole: of two starts at once, the first wins."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    staging = folder.absolute().with_name(f".{folder.name}-{secrets.token_hex(6)}")
    try:
        staging.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir(mode=0o700)
        root_key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Kinema's own root " + secrets.token_hex(4))
        root = (
            _certificate(name, name, root_key, root_key, 30 * YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        signed = root.sign(root_key, _sha256())
        _write(staging / ROOT, _pem(signed))
        _write(staging / ROOT_KEY, _pem_key(root_key))
        _issue(staging, signed, root_key)
        try:
            staging.rename(folder)
        except OSError:
            if not (folder / ROOT).is_file():
                raise
    except OSError as error:
        raise OutputError(f"{folder} could not be made to keep the signing key in: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _renew(folder: Path) -> None:
    """A new leaf from the same root where the old one is in its last year."""
    from cryptography import x509

    try:
        leaf = x509.load_pem_x509_certificate((folder / CHAIN).read_bytes())
        if leaf.not_valid_after_utc - datetime.now(UTC) > YEAR:
            return
        root = x509.load_pem_x509_certificate((folder / ROOT).read_bytes())
        root_key = _load_key(folder / ROOT_KEY)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds a damaged identity ({error}); put the files back, or name an empty folder"
        ) from None
    _issue(folder, root, root_key)


def _issue(folder: Path, root: x509.Certificate, root_key: EllipticCurvePrivateKey) -> None:
    """A leaf of ten years; the leaf's key stays the same when it is renewed, so key and certificate always fit."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if not (folder / KEY).exists():
        _write(folder / KEY, _pem_key(ec.generate_private_key(ec.SECP256R1())))
    key = _load_key(folder / KEY)
    leaf = (
        _certificate(_name("Kinema"), root.subject, key, root_key, 10 * YEAR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    )
    _write(folder / CHAIN, _pem(leaf.sign(root_key, _sha256())) + _pem(root))


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    issuer_key: EllipticCurvePrivateKey,
    life: timedelta,
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _load_key(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{path.name} is no elliptic curve key")
    return key


def _sha256() -> hashes.SHA256:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _pem_key(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, text: bytes) -> None:
    """Whole or not at all, readable by the owner only."""
    staging = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)
