"""Laws of a process that reads strangers' files: it reaches its folder, and neither other files nor the network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="needs kinema[serve]")

PROBE = """
import json, socket, sys
from pathlib import Path
from kinema.server.storage.confine import confine
folder, other = Path(sys.argv[1]), Path(sys.argv[2])
lacks = confine(folder)
def can(do):
    try:
        do()
    except OSError:
        return False
    return True
print(json.dumps({
    "lacks": lacks,
    "own": can(lambda: (folder / "made").write_text((folder / "given").read_text())),
    "import": can(lambda: __import__("av")),
    "read": can(lambda: (other / "secret").read_text()),
    "list": can(lambda: list(other.iterdir())),
    "write": can(lambda: (other / "made").write_text("x")),
    "remove": can(lambda: (other / "secret").unlink()),
    "internet": can(lambda: socket.socket()),
    "local": can(lambda: socket.socket(socket.AF_UNIX)),
}))
"""


def test_what_reads_strangers_files_reaches_its_folder_alone(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "data"
    for path, name in ((folder, "given"), (other, "secret")):
        path.mkdir()
        (path / name).write_text("x")
    done = subprocess.run([sys.executable, "-c", PROBE, str(folder), str(other)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    lacks = " ".join(found.pop("lacks"))
    files_open, network_open = "files are not restricted" in lacks, "network is not closed" in lacks
    assert found == {
        "own": True, "import": True, "read": files_open, "list": files_open, "write": files_open, "remove": files_open,
        "internet": network_open, "local": network_open,
    }  # fmt: skip
    assert (other / "secret").exists() or files_open
