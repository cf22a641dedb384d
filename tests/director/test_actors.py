"""Actors and models of live shots are checked before anything is filmed, in one line, wherever a script comes from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.director.conftest import PlainEngine

pytest.importorskip("stable_baselines3", reason="needs kinema[agents]")

from kinema.agents import Agent, PPOConfig, learn
from kinema.cli.main import main
from kinema.director.delivery.film import check_files
from kinema.director.direct import Director
from kinema.director.filming import actors
from kinema.director.filming.actors import check_actors
from kinema.director.production import Production
from kinema.director.script import Script, script_from
from kinema.engines.native import engine_for
from kinema.errors import InputError
from kinema.media import Clip


def acted(actor: str = "../agent", **shot: Any) -> dict[str, Any]:
    """A script of a quiet shot and one with an actor, 64x64."""
    cast = [
        {"id": id, "name": id, "look": f"a {color} {id}", "identity": {"kind": id, "color": color}}
        for id, color in (("ball", "red"), ("robot", "green"))
    ]
    first = {"id": "s1", "prompt": "a red ball rolls right", "seconds": 0.5, "cast": ["ball"]}
    second = {"id": "s2", "prompt": "a green robot", "seconds": 0.5, "cast": ["robot"], "actor": actor, **shot}
    return {"production": {"size": "64x64", "budget": {"per_shot": 1}}, "cast": cast, "shots": [first, second]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent that has learned for a moment."""
    settings = PPOConfig(frames=64, rooms=2, horizon=32, seed=0)
    return learn("reach the flag", inside=None, settings=settings).save(tmp_path_factory.mktemp("agents") / "agent")


@pytest.fixture
def agent(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Beside the folder of a production that is not there yet."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "agent")
    return tmp_path / "agent"


def break_agent(agent: Path, how: str) -> None:
    if how == "none":
        shutil.rmtree(agent)
    elif how == "policy":
        (agent / "policy.zip").unlink()
    elif how == "damaged":
        (agent / "policy.zip").write_bytes(b"no zip")
    elif how == "version":
        about = json.loads((agent / "agent.json").read_text())
        (agent / "agent.json").write_text(json.dumps({**about, "format": 99}))
    elif how == "world":
        other = replace(Agent.open(agent), task=None, env="CartPole-v1")
        other.save(agent, force=True)


BROKEN = [
    ("none", "holds no agent (agent.json)"), ("policy", "holds an agent that cannot be read"),
    ("damaged", "holds an agent that cannot be read"), ("version", "was made by another version (format 99)"),
    ("world", "was trained for CartPole-v1; expected an agent with a task"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "says"), BROKEN)
def test_an_actor_that_cannot_act_is_told_before_anything_is_filmed(
    agent: Path, capsys: pytest.CaptureFixture[str], how: str, says: str
) -> None:
    """In the plan as a note; by the command before it makes a folder; by the library before its first shot."""
    break_agent(agent, how)
    Path("s.json").write_text(json.dumps(acted()))
    assert main(["direct", "--script", "s.json", "--plan-only"]) == 0
    shown = capsys.readouterr()
    notes = [line for line in shown.err.splitlines() if line.startswith('note: shot 2 ("s2"), actor: ')]
    assert len(notes) == 1 and says in notes[0] and json.loads(shown.out)["shots"][1]["actor"] == "../agent"
    assert main(["direct", "--script", "s.json", "-o", "film.mp4", "--unsigned"]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error and 'shot 2 ("s2"), actor: ' in error and "\n" not in error
    assert not Path("film.production").exists()
    production = Production.create(Path("p"), script_from(acted()), "kinema-tiny")
    with pytest.raises(InputError, match=r'shot 2 \("s2"\), actor: '):
        Director(production, engine_for("kinema-tiny")).film_all()
    assert not production.takes("s1"), "nor is the shot before it filmed"
    assert main(["direct", "resume", "p", "--unsigned"]) == 2 and says in capsys.readouterr().err


def test_an_actor_that_can_acts(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.json").write_text(json.dumps(acted()))
    assert main(["direct", "--script", "s.json", "--plan-only"]) == 0
    assert "actor" not in capsys.readouterr().err
    assert main(["direct", "--script", "s.json", "-o", "film.mp4", "--unsigned"]) == 0
    assert Clip.open("film.mp4").num_frames == 16
    shutil.rmtree(agent)
    assert main(["direct", "resume", "film.production", "--unsigned"]) == 0, "shots that are done need their actors no more"


def test_the_plan_looks_in_the_folder_that_is_named(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.json").write_text(json.dumps(acted("agent")))
    assert main(["direct", "--script", "s.json", "--plan-only"]) == 0
    assert "film.production/agent holds no agent" in capsys.readouterr().err
    assert main(["direct", "--script", "s.json", "--plan-only", "--folder", "."]) == 0
    assert "actor" not in capsys.readouterr().err
    assert main(["direct", "A red ball rolls right.", "--plan-only", "--folder", "."]) == 2
    assert "--folder with --plan-only: goes with --script" in capsys.readouterr().err


def test_an_actor_needs_a_robot(agent: Path, tmp_path: Path) -> None:
    here = tmp_path / "p"
    check_files(script_from(acted()), here)
    with pytest.raises(InputError, match="actor: its cast has no robot"):
        check_files(script_from(acted(cast=["ball"])), here)
    check_files(script_from(acted(cast=["ball"], cues=[{"at_s": 0.1, "do": "add a green robot"}])), here)


def test_without_the_package_that_is_said(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"agents need Stable-Baselines3: pip install 'kinema\[agents\]'"):
        check_actors(script_from(acted()), Path("p"))


@pytest.mark.parametrize("live", [{"actor": "../agent"}, {"actor": None, "cues": [{"at_s": 0.1, "do": "stop the robot"}]}])
def test_a_model_without_a_state_is_told_before_anything_is_filmed(
    agent: Path, plain: PlainEngine, live: dict[str, Any]
) -> None:
    from kinema.director.planning.planner import with_notes

    script: Script = script_from(acted(**live))
    says = rf'shot 2 \("s2"\), {"cues" if "cues" in live else "actor"}: plain has no state'
    with pytest.raises(InputError, match=says):
        with_notes(script, plain.capabilities)
    with pytest.raises(InputError, match=says):
        Director(Production.create(Path("p"), script, "plain"), plain).film_all()
    assert not plain.films
