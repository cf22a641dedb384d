"""The whole path with real models: kinema-tiny by the command line, and a tiny open model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinema.cli.main import main
from kinema.director.direct import Director
from kinema.director.filming.staging import identities_of, opening_positions, places_in
from kinema.director.filming.takes import Handover, TakePlan, film_take, stage_shot
from kinema.director.planning.planner import plan_story
from kinema.director.planning.story import read_story
from kinema.director.production import Production
from kinema.director.script import ProductionSettings, Script, Shot, script_from
from kinema.engines.native import engine_for
from kinema.media import Clip


@pytest.fixture(scope="module")
def planned() -> Script:
    story = read_story("A red ball rolls right and hits a blue box. A green robot comes in from the right.")
    settings = ProductionSettings(size="64x64")
    script = plan_story(story, engine_for("kinema-tiny").capabilities, settings).script
    return script.model_copy(update={"shots": tuple(shot.model_copy(update={"seconds": 1.0}) for shot in script.shots)})


def test_a_shot_begins_where_its_events_can_happen(planned: Script) -> None:
    first, second = planned.shots
    opening = opening_positions(second, identities_of(planned, second), {"red-ball": (3.0, 1.9), "blue-box": (5.0, 1.7)})
    assert opening["red-ball"] == (3.0, 1.9) and opening["green-robot"][0] > 10
    fresh = opening_positions(first, identities_of(planned, first))
    assert fresh["red-ball"][0] < 3 < fresh["blue-box"][0]


def test_the_cast_goes_on_by_its_state(planned: Script) -> None:
    engine = engine_for("kinema-tiny")
    first, second = planned.shots
    take = film_take(engine, planned, first, TakePlan(number=1, seed=0))
    assert take.num_frames == 16 and take.state is not None and take.size == "64x64"
    staged = stage_shot(planned, second, (64, 64), 16.0, Handover(clip=take))
    assert (staged.pictures.frames[-1] == take.frames[-1]).all(), (
        "with the same camera the pictures themselves are handed over"
    )
    after = film_take(engine, planned, second, TakePlan(number=1, seed=0), before=Handover(clip=take))
    assert after.state is not None
    end, begin = (places_in(state, identities_of(planned, first), at) for state, at in ((take.state, -1), (after.state, 0)))
    assert all(abs(end[id][0] - begin[id][0]) < 0.7 for id in end)
    assert {after.state.name(k) for k in after.state.entities} == {"red ball", "blue box", "green robot"}
    close = second.model_copy(update={"framing": "close"})
    other = stage_shot(planned, close, (64, 64), 16.0, Handover(clip=take))
    assert other.pictures.state is not None and other.pictures.state.camera[-1, 2] == 1.5


def test_the_command_makes_a_film_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: Script, capsys: object
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.json").write_text(
        planned.model_copy(
            update={
                "production": planned.production.model_copy(
                    update={"budget": planned.production.budget.model_copy(update={"per_shot": 1})}
                )
            }
        ).to_json()
    )
    assert main(["direct", "--script", "s.json", "-o", "film.mp4"]) == 0
    film = Clip.open(tmp_path / "film.mp4")
    assert film.num_frames == 32 and film.settings["layout"] == "directed"
    before = (tmp_path / "film.production" / "takes" / "s1" / "1.mp4").read_bytes()
    assert main(["direct", "resume", "film.production", "--retake", "s2", "-o", "film.mp4", "--force"]) == 0
    production = Production.open(tmp_path / "film.production")
    assert production.used("s2") == 2 and production.take_path("s1", 1).read_bytes() == before
    assert main(["direct", "resume", "film.production", "--accept", "s2=7"]) == 2
    assert main(["direct", "--script", "s.json", "-o", "film.mp4"]) == 2


def test_the_plan_is_printed_as_a_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["direct", "A red ball rolls right. A dragon eats it.", "--plan-only"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["shots"][0]["events"] == [{"kind": "moves", "who": "red-ball", "direction": "right"}]
    assert "A dragon eats it" in shown.err and "up to 6 takes" in shown.err
    assert main(["direct", "--schema"]) == 0 and json.loads(capsys.readouterr().out)["title"] == "Script"
    for bad in (
        ["direct"],
        ["direct", "x", "--script", "y.json"],
        ["direct", "A ball rolls.", "--lock", "s1"],
        ["direct", "resume"],
        ["direct", "resume", "x", "--title", "y"],
    ):
        assert main(bad) == 2
    assert main(["direct", "A red ball rolls right.", "--until", "script", "-o", "a.mp4"]) == 0
    assert Production.open(tmp_path / "a.production").script.shots[0].cast == ("red-ball",)


def test_a_tiny_open_model_films_a_script(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from kinema.engines.diffusers.engine import DiffusersEngine
    from kinema.engines.diffusers.tiny.models import make_tiny
    from kinema.engines.registry import ModelEntry

    entry = ModelEntry(name="tiny", source=str(make_tiny("wan", tmp_path)))
    engine = DiffusersEngine(entry, device="cpu")
    script = plan_story(
        read_story("A man opens a door. He smiles."), engine.capabilities, ProductionSettings(size="32x32")
    ).script
    shots = tuple(Shot.model_validate({**shot.model_dump(), "seconds": 0.5}) for shot in script.shots)
    script = script.model_copy(update={"shots": shots})
    production = Production.create(tmp_path / "p", script, "tiny")
    production.script = script.model_copy(
        update={
            "production": script.production.model_copy(
                update={"budget": script.production.budget.model_copy(update={"per_shot": 1})}
            )
        }
    )
    Director(production, engine).film_all()
    names = {one.name for one in production.takes("s2")[0].report.results}
    assert {"length", "cuts", "black", "flicker", "sharpness", "color"} <= names
    assert production.open_take("s2", 1).num_frames == 8


def test_another_server_is_asked_once_for_each_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engines.standin import StandIn, mp4

    from kinema.engines import upstream
    from kinema.engines.registry import ModelEntry
    from kinema.engines.upstream import UpstreamEngine

    monkeypatch.setattr(upstream, "POLL_S", 0.01)
    there = StandIn(mp4(tmp_path))
    try:
        engine = UpstreamEngine(ModelEntry(name="far", source=there.url))
        script = script_from(
            {
                "production": {"size": "64x48", "budget": {"per_shot": 1}},
                "shots": [{"id": f"s{n}", "prompt": "a lighthouse", "seconds": 2} for n in (1, 2)],
            }
        )
        production = Production.create(tmp_path / "p", script, "far")
        Director(production, engine).film_all()
        assert len(there.posts) == 2 and production.open_take("s2", 1).size == "64x48"
        for ending in ("mp4", "json"):  # as if it was killed after it had asked
            (tmp_path / "p" / "takes" / "s2" / f"1.{ending}").unlink()
        production.retake("s1", 1)
        again = Production.open(tmp_path / "p")
        again.retake("s2", 1)
        Director(again, engine).film_shot(again.script.shots[1])
        assert len(there.posts) == 2 and again.used("s2") == 1
    finally:
        there.close()
