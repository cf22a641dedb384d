"""kinema verify clip.mp4: was it made by Kinema? Exit code 0 if a trusted manifest says so, 1 if not, 2 if it cannot be read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kinema.errors import InputError

NOT_FOUND = 1


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("verify", help="tell whether a file was made by Kinema", description=__doc__)
    parser.add_argument("file", type=Path, help="a video or a picture")
    parser.add_argument("--trust", type=Path, metavar="PEM", help="root certificates to believe, such as a server's ca.pem")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from kinema.provenance import verify

    verdict = verify(arguments.file, anchors=_anchors(arguments.trust))
    shown = verdict.to_dict()
    if arguments.json:
        print(json.dumps(shown, indent=1))
    else:
        print(verdict.verdict)
        manifest, mark = shown["manifest"], shown["watermark"]
        parts = ("model", "made_at", "signer", "settings_hash", "watermark_id", "reason")
        details = ", ".join(f"{name.replace('_', ' ')} {manifest[name]}" for name in parts if manifest[name])
        trust = ", trusted" * manifest["trusted"]
        print(f"manifest   {manifest['state']}{trust}{f': {details}' if details else ''}")
        watermark = (
            f"{mark['id']}, score {mark['score']:g}, {100 * mark['agreement']:.0f}% of its bits" if mark["found"] else "none"
        )
        print(f"watermark  {watermark}")
        print(f"tags       {', '.join(f'{name} {value}' for name, value in shown['tags'].items()) or 'none'}")
    return 0 if verdict.made_by_kinema else NOT_FOUND


def _anchors(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; expected root certificates in PEM") from None
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise InputError(f"{path} holds no certificate in PEM; expected root certificates, such as a server's ca.pem")
    return text
