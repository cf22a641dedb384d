"""The files of onnxruntime-web that the player needs, from its npm package as it is: a .tgz, or a folder it was unpacked to."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from kinema.errors import InputError, OutputError, excerpt

PACKAGE = "onnxruntime-web"
RUNTIME_VERSION = "1.30.0"
"""Of the package that `fetch_runtime` fetches, and that the player was tried with."""
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""In the package's folder dist: the interface, and WebAssembly with SIMD and, where the page is isolated, threads."""
FETCH_S = 600.0


def fetch_runtime(cache: Path) -> Path:
    """The npm package, fetched once by `npm pack`.

    Args:
        cache: Folder that keeps it; it is made if it is missing.

    Returns:
        The path of the .tgz.

    Raises:
        InputError: npm is not installed, or could not fetch the package.
        OutputError: The folder cannot be written to.
    """
    path = cache / f"{PACKAGE}-{RUNTIME_VERSION}.tgz"
    if path.is_file():
        return path
    package = f"{PACKAGE}@{RUNTIME_VERSION}"
    mend = f"give the package by --runtime FILE, as `npm pack {package}` writes it"
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"npm is not installed, which would fetch {package}; {mend}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".npm-", dir=cache) as scratch:
            done = subprocess.run(
                [npm, "pack", package, "--silent"], cwd=scratch, capture_output=True, text=True, timeout=FETCH_S, check=False
            )
            packed = sorted(Path(scratch).glob("*.tgz"))
            if done.returncode or not packed:
                lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it wrote no file"]
                raise InputError(f"npm could not fetch {package}: {excerpt(lines[-1], 160)}; {mend}")
            packed[0].replace(path)
    except subprocess.TimeoutExpired:
        raise InputError(f"npm did not fetch {package} within {FETCH_S:.0f} s; {mend}") from None
    except OSError as error:
        raise OutputError(f"{cache} cannot be written to: {error.strerror or error}; {mend}") from None
    return path


def read_runtime(path: Path) -> tuple[str, dict[str, bytes]]:
    """The version of a package, and of its files those that the player needs.

    Args:
        path: The .tgz, or the folder with its package.json.

    Returns:
        The version; name of a file -> its bytes.

    Raises:
        InputError: There is no such package, or a file that is needed is not in it.
    """
    try:
        about, files = _from_folder(path) if path.is_dir() else _from_tar(path)
        name, version = about["name"], str(about["version"])
    except FileNotFoundError as error:
        missing = Path(str(error.filename or error)).name
        missing = "" if missing == path.name else f" ({missing} is not in it)"
        raise InputError(_expected(path, f"holds no {PACKAGE}{missing}" if path.exists() else "does not exist")) from None
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, EOFError):
        raise InputError(_expected(path, f"holds no {PACKAGE}")) from None
    if name != PACKAGE:
        raise InputError(_expected(path, f"holds the package {excerpt(str(name))}"))
    return version, files


def _expected(path: Path, problem: str) -> str:
    return (
        f"{path} {problem}; expected the npm package {PACKAGE}, the .tgz or the unpacked folder,"
        f" as `npm pack {PACKAGE}@{RUNTIME_VERSION}` writes it"
    )


def _from_folder(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    folder = path / "package" if (path / "package").is_dir() else path
    about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    return about, {name: (folder / "dist" / name).read_bytes() for name in FILES}


def _from_tar(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    def read(packed: tarfile.TarFile, name: str) -> bytes:
        try:
            opened = packed.extractfile(f"package/{name}")
        except KeyError:
            opened = None
        if opened is None:
            raise FileNotFoundError(name)
        return opened.read()

    with tarfile.open(path, "r:*") as packed:
        return json.loads(read(packed, "package.json")), {name: read(packed, f"dist/{name}") for name in FILES}
