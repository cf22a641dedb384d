"""What deploy/ says is true of the package: files, settings and verbs exist. `make deploy-check` runs the Dockerfile's steps."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kinema.cli.main import build_parser
from kinema.cli.settings import PREFIX, SETTINGS, fill

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def check() -> Iterator[ModuleType]:
    """deploy/check.py as a module."""
    spec = importlib.util.spec_from_file_location("deploy_check", DEPLOY / "check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "deploy_check", module)  # dataclasses look there
        spec.loader.exec_module(module)
        yield module


def steps(check: ModuleType) -> list[tuple[str, str]]:
    return list(check.instructions((DEPLOY / "Dockerfile").read_text()))


def filled(variables: dict[str, str], *argv: str) -> argparse.Namespace:
    arguments = build_parser().parse_args([*argv])
    fill(arguments, variables)
    return arguments


def test_the_image_copies_what_is_there_and_runs_as_nobody_special(check: ModuleType) -> None:
    named = dict(steps(check))
    copied = [shlex.split(rest) for name, rest in steps(check) if name == "COPY" and "--from" not in rest]
    assert copied and all((ROOT / one).exists() for words in copied for one in words[:-1])
    assert int(named["USER"].partition(":")[0]) > 0 and named["VOLUME"] == "/data" and "/healthz" in named["HEALTHCHECK"]
    installed = next(rest for name, rest in steps(check) if name == "RUN" and "pip install" in rest)
    extras = re.search(r"\.\[([\w,]+)\]", installed)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras and set(extras[1].split(",")) <= project["optional-dependencies"].keys()


def test_the_images_settings_are_settings(check: ModuleType) -> None:
    pairs = [pair.partition("=") for name, rest in steps(check) if name == "ENV" for pair in shlex.split(rest)]
    variables = {key: value for key, _, value in pairs if key.startswith(PREFIX)}
    given = filled(variables, "serve")
    assert (given.host, given.port, given.data) == ("0.0.0.0", 8000, Path("/data"))


def test_lines_that_go_on_are_one_instruction(check: ModuleType) -> None:
    text = "# a comment\nENV A=1 \\\n    B=2\n\nRUN x && \\\n  y\n"
    assert list(check.instructions(text)) == [("ENV", "A=1 B=2"), ("RUN", "x && y")]


def test_steps_stay_below_the_new_folder(check: ModuleType) -> None:
    image = check.Image(Path("/new"), ["/src", "/opt/kinema", "/data"], {})
    assert (
        image.inside("PIP=1 /opt/kinema/bin/pip install -d /data /usr/bin/x")
        == "PIP=1 /new/opt/kinema/bin/pip install -d /new/data /usr/bin/x"
    )
    assert image.inside("/database ./src a/src") == "/database ./src a/src"


def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="needs kinema[dev]")
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return read


def test_compose_starts_the_server_on_its_database() -> None:
    services = compose()["services"]
    kinema = services["kinema"]
    assert (DEPLOY / kinema["build"]["context"] / kinema["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    given = filled(kinema["environment"], "serve")
    assert given.database.startswith("postgresql://kinema:") and given.database.endswith("@postgres/kinema")
    assert kinema["depends_on"]["postgres"]["condition"] == "service_healthy" and "healthcheck" in services["postgres"]
    mounted = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert mounted == compose()["volumes"].keys()


def test_variables_that_are_commented_out_are_settings_too() -> None:
    known = {setting.variable for setting in SETTINGS}
    for file in DEPLOY.iterdir():
        if file.is_file():
            assert set(re.findall(rf"{PREFIX}[A-Z_]+", file.read_text())) <= known, file.name


def test_the_example_of_settings_is_read(tmp_path: Path) -> None:
    text = (DEPLOY / "kinema.toml").read_text()
    everything = tmp_path / "all.toml"
    everything.write_text(re.sub(r"^# (?=[\w-]+ = )", "", text, flags=re.MULTILINE))
    assert len(tomllib.loads(everything.read_text())) >= 7
    assert filled({}, "serve", "--config", str(everything)).root_path == "/kinema"
    assert filled({}, "serve", "--config", str(DEPLOY / "kinema.toml")).port == 8000


def test_the_unit_starts_what_the_command_knows() -> None:
    unit = (DEPLOY / "kinema.service").read_text()
    line = re.search(r"^ExecStart=/opt/kinema/bin/kinema (.*)$", unit, re.MULTILINE)
    assert line is not None
    argv = line[1].replace("%d/kinema.toml", str(DEPLOY / "kinema.toml")).replace("%S", "/var/lib").split()
    assert filled({}, *argv).data == Path("/var/lib/kinema")
    for hardening in ("DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n"):
        assert hardening in unit


def commands_of_trainings() -> dict[str, list[str]]:
    """The words after "kinema" of each launch file's training."""
    script = (DEPLOY / "slurm.sh").read_text().replace("\\\n", " ").replace('"${place[@]}"', "--out out").replace('"$@"', "")
    line = next(line for line in script.splitlines() if line.startswith("srun torchrun"))
    kubernetes = re.findall(r"^            - (\S+)$", (DEPLOY / "kubernetes.yaml").read_text(), re.MULTILINE)
    return {"slurm": shlex.split(line), "kubernetes": kubernetes}


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_launch_files_start_a_training_that_ranks_can_share(name: str) -> None:
    from torch.distributed.run import get_args_parser

    words = commands_of_trainings()[name]
    begin, main = words.index("torchrun") + 1 if "torchrun" in words else 0, words.index("kinema.cli.main")
    launched = get_args_parser().parse_args([word.replace("$SLURM_NNODES", "8") for word in words[begin : main + 1]])
    given = build_parser().parse_args(words[main + 1 :])
    assert launched.module and launched.training_script == "kinema.cli.main" and launched.rdzv_backend == "c10d"
    assert (given.command, given.recipe, given.size) == ("train", "video", "L")
    assert given.batch % (int(launched.nnodes) * int(launched.nproc_per_node)) == 0
