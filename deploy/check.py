"""Runs deploy/Dockerfile without a container builder: python deploy/check.py [FOLDER]

Every instruction is read from the file. RUN steps are executed one after the other, with the folders of the image (/src,
/opt/kinema, /data) below a new folder. Then the command is started as the image's user, the HEALTHCHECK is asked until it agrees,
the API answers, a backup is made, and SIGTERM ends the server. The unit of systemd is checked where systemd is installed. PIP_ARGS
in the environment goes before the file's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
READY_S = 600.0


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(name, the rest of its line) of each instruction of a Dockerfile, without comments."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name.upper(), rest.strip()


@dataclass
class Image:
    """What the instructions so far have made. root: the folder that stands for /. stages: those of earlier stages by name."""

    root: Path
    folders: list[str]
    environment: dict[str, str]
    workdir: str = "/"
    user: str = "0:0"
    volumes: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    stages: dict[str, Path] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.root / os.path.normpath(Path(self.workdir) / name).lstrip("/")

    def inside(self, text: str) -> str:
        """A text with the image's folders below `root`."""
        names = "|".join(re.escape(folder.lstrip("/")) for folder in self.folders)
        return re.sub(rf"(?<![\w./])/({names})(?![\w-])", lambda one: f"{self.root}/{one[1]}", text)

    def variables(self) -> dict[str, str]:
        return {name: self.inside(value) for name, value in self.environment.items()}


def build(folder: Path) -> Image:
    """Execute the instructions of the Dockerfile up to its command."""
    text = DOCKERFILE.read_text()
    steps = list(instructions(text))
    folders = sorted({rest for name, rest in steps if name == "WORKDIR"} | set(re.findall(r"/opt/\w+|/data\b", text)))
    image = Image(folder / "root", folders, {"PATH": python_folder() + os.defpath, "HOME": str(folder)})
    arguments: dict[str, str] = {}
    for name, rest in steps:
        print(f"{name} {rest}", flush=True)
        if name == "FROM":
            _begin_stage(image, folder, rest)
        elif name == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = os.environ.get(key, shlex.split(value)[0] if value else "")
        elif name == "ENV":
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                image.environment[key] = value.replace("$PATH", image.environment["PATH"])
        elif name == "WORKDIR":
            image.workdir = rest
            image.path(".").mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            _copy(image, shlex.split(rest))
        elif name == "RUN":
            run(image.inside(rest), image, arguments)
        elif name == "USER":
            image.user = rest
        elif name == "VOLUME":
            image.volumes.append(rest)
        elif name == "HEALTHCHECK":
            image.health = shlex.split(rest.partition("CMD ")[2])
        elif name in ("ENTRYPOINT", "CMD"):
            image.command += json.loads(rest)
        elif name not in ("EXPOSE", "STOPSIGNAL"):
            sys.exit(f"deploy/check.py does not know {name}; teach it, so that the check stays whole")
    return image


def python_folder() -> str:
    """A folder with the Python that stands for the image's, which every user can reach, for the search path."""
    for candidate in (shutil.which("python3"), "/usr/bin/python3"):
        real = Path(candidate or "").resolve()
        if candidate and all(parent.stat().st_mode & 0o005 == 0o005 for parent in real.parents):
            version = subprocess.check_output([real, "-c", "import sys; print(sys.version_info >= (3, 11))"], text=True)
            if version.strip() == "True":
                return f"{Path(candidate).parent}:"
    sys.exit("no Python 3.11 that every user can reach; install python3 and python3-venv")


def _begin_stage(image: Image, folder: Path, rest: str) -> None:
    """A stage begins with nothing: what it needs, it copies."""
    name = rest.partition(" AS ")[2] or "final"
    if image.root.exists():
        earlier = folder / "earlier"
        image.root.rename(earlier)
        image.stages = dict.fromkeys(image.stages, earlier)
    image.root.mkdir(mode=0o755)
    image.stages[name] = image.root
    image.workdir = "/"


def _copy(image: Image, words: list[str]) -> None:
    source = ROOT
    if words[0].startswith("--from="):
        source = image.stages[words.pop(0).removeprefix("--from=")]
    *names, target = words
    for name in names:
        path, into = source / name.lstrip("/"), image.path(target)
        if not path.exists():
            sys.exit(f"COPY {name}: there is no such file")
        if path.is_dir():
            shutil.copytree(path, into, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into)


def run(command: str, image: Image, more: dict[str, str]) -> None:
    """Execute one RUN step; a failure ends the check."""
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and name != "PIP_ARGS"}
    environment = {**pip, **image.variables(), **more}
    code = subprocess.run(["sh", "-c", command], cwd=image.path("."), env=environment, check=False).returncode
    if code:
        sys.exit(f"the step failed with {code}: {command}")


def try_server(image: Image) -> None:
    """Start the image's command as its user, until its health check agrees; ask it, save a backup, and end it."""
    user, _, group = image.user.partition(":")
    if int(user) == 0:
        sys.exit("the image runs as root; name another USER")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    data = image.path(image.volumes[0])
    environment = {**image.variables(), "KINEMA_SERVE_PORT": port, "KINEMA_SERVE_HOST": "127.0.0.1"}
    as_user = {"env": environment, "cwd": data, "user": int(user), "group": int(group), "extra_groups": [], "umask": 0o022}
    executable = shutil.which(image.command[0], path=environment["PATH"]) or sys.exit(f"no {image.command[0]} in the image")
    server = subprocess.Popen([executable, *image.command[1:]], **as_user)  # type: ignore[call-overload]
    try:
        health = [shutil.which(image.health[0], path=environment["PATH"]) or "", *image.health[1:]]
        end = time.monotonic() + READY_S
        while subprocess.run(health, env=environment, stderr=subprocess.DEVNULL, check=False).returncode:
            if server.poll() is not None or time.monotonic() > end:
                sys.exit("the server did not become healthy")
            time.sleep(0.5)
        key = data / "first-key"
        if key.stat().st_mode & 0o777 != 0o600 or key.stat().st_uid != int(user):
            sys.exit(f"{key} is not its user's alone")
        for path, wanted in (("/v1/models", "kinema-tiny"), ("/docs", "swagger-ui-bundle.js"), ("/", "Kinema Studio")):
            headers = {"authorization": f"Bearer {key.read_text().strip()}"}
            asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
            if wanted not in urllib.request.urlopen(asked, timeout=60).read().decode():
                sys.exit(f"{path} does not answer with {wanted}")
        subprocess.run([executable, "backup", data / "backup.tar"], check=True, **as_user)  # type: ignore[call-overload]
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    if code:
        sys.exit(f"the server ended with {code}")


def check_unit(image: Image) -> None:
    """Let systemd check the unit, with the program that was installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        print("systemd is not installed: deploy/kinema.service was not checked")
        return
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / "kinema.service"
        unit.write_text(image.inside((ROOT / "deploy" / "kinema.service").read_text()))
        errors = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False).stderr
    if str(unit.name) in errors:
        sys.exit(f"deploy/kinema.service: {errors}")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="kinema-deploy-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    try:
        image = build(folder)
        try_server(image)
        check_unit(image)
    finally:
        if len(sys.argv) < 2:
            shutil.rmtree(folder, ignore_errors=True)
    print("deploy/Dockerfile: every step works, the server is healthy as its user and ends on SIGTERM")


if __name__ == "__main__":
    main()
