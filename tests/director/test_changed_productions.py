"""Productions whose files were changed or damaged between two calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.director.conftest import PlainEngine
from tests.director.test_production import script

from kinema.director.direct import Director
from kinema.director.production import Production
from kinema.errors import InputError, KinemaError, OutputError


def filmed(folder: Path, engine: PlainEngine) -> Production:
    production = Production.create(folder, script(), "plain")
    with production.writing():
        Director(production, engine).film_all()
    return production


def change(folder: Path, **values: Any) -> None:
    """Change the first shot in the script's file."""
    data = json.loads((folder / "script.json").read_text())
    data["shots"][0] |= values
    (folder / "script.json").write_text(json.dumps(data))


def go_on(folder: Path, engine: PlainEngine) -> Production:
    production = Production.open(folder)
    with production.writing():
        Director(production, engine).film_all()
    return production


@pytest.mark.parametrize("values", [{"prompt": "another square"}, {"seconds": 1}, {"camera": "pan left"}, {"seed": 5}])
def test_a_shot_that_was_changed_is_filmed_again(plain: PlainEngine, folder: Path, values: dict[str, Any]) -> None:
    filmed(folder, plain)
    change(folder, **values)
    production = go_on(folder, plain)
    assert len(plain.films) == 4 and production.used("s1") == 2 and production.used("s2") == 1
    assert production.open_take("s1", 2).duration_s == values.get("seconds", 2)
    go_on(folder, plain)
    assert len(plain.films) == 4


def test_what_no_take_depends_on_films_nothing(plain: PlainEngine, folder: Path) -> None:
    filmed(folder, plain)
    change(folder, transition="fade", dialogue=[{"text": "Other words"}], sound="wind")
    go_on(folder, plain)
    assert len(plain.films) == 3


def test_an_old_take_can_be_accepted_for_the_changed_shot(plain: PlainEngine, folder: Path) -> None:
    filmed(folder, plain)
    change(folder, prompt="another square")
    production = Production.open(folder)
    with production.writing():
        production.use("s1", 1, "asked for")
    assert go_on(folder, plain).used("s1") == 1 and len(plain.films) == 3


def test_a_locked_shot_keeps_its_take_with_a_note(plain: PlainEngine, folder: Path) -> None:
    filmed(folder, plain).lock("s1")
    change(folder, prompt="another square")
    production = go_on(folder, plain)
    assert len(plain.films) == 3 and any("is locked" in line.get("why", "") for line in production.lines())


def test_takes_without_a_digest_stay(plain: PlainEngine, folder: Path) -> None:
    filmed(folder, plain)
    for path in folder.glob("takes/*/1.json"):
        data = json.loads(path.read_text())
        del data["shot_digest"]
        path.write_text(json.dumps(data))
    state = json.loads((folder / "production.json").read_text())
    for entry in state["shots"].values():
        del entry["digest"]
    (folder / "production.json").write_text(json.dumps(state))
    change(folder, prompt="another square")
    go_on(folder, plain)
    assert len(plain.films) == 3


def test_a_script_of_somebody_else_is_not_overwritten(folder: Path) -> None:
    folder.mkdir()
    (folder / "script.json").write_text("mine")
    with pytest.raises(InputError, match="of no production"):
        Production.create(folder, script(), "plain")
    assert (folder / "script.json").read_text() == "mine" and not (folder / "production.json").exists()
    (folder / "script.json").write_text(script().to_json())
    Production.create(folder, script(), "plain")


@pytest.mark.parametrize(
    "text",
    [
        "[]", "7", "[" * 100_000, "{", '{"format": 2}', '{"format": 1}', '{"format": 1, "model": "plain", "shots": []}',
        '{"format": 1, "model": "plain", "shots": {"s1": 3}}', '{"format": 1, "model": "plain", "shots": {"s1": {"more": "x"}}}',
    ],
)  # fmt: skip
def test_a_damaged_state_is_one_line(plain: PlainEngine, folder: Path, text: str) -> None:
    filmed(folder, plain)
    (folder / "production.json").write_text(text)
    with pytest.raises(InputError, match=r"production\.json cannot be read"):
        Production.open(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan": 3, "report": {"checks": []}, "film_s": 1}', "[" * 100_000])
def test_a_damaged_record_of_a_take_is_one_line(plain: PlainEngine, folder: Path, text: str) -> None:
    filmed(folder, plain)
    (folder / "takes" / "s2" / "1.json").write_text(text)
    with pytest.raises(InputError, match=r"1\.json is damaged"):
        go_on(folder, plain)


def test_takes_that_are_no_folder_are_one_line(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    (folder / "takes").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        Director(production, plain).film_all()


def test_a_used_take_that_is_gone_is_one_line(plain: PlainEngine, folder: Path) -> None:
    filmed(folder, plain)
    state = json.loads((folder / "production.json").read_text())
    state["shots"]["s1"]["used"] = 9
    state["shots"]["s2"] = {}
    (folder / "production.json").write_text(json.dumps(state))
    (folder / "takes" / "s2" / "1.json").unlink()
    with pytest.raises(KinemaError, match=r"9\.mp4"):
        Director(Production.open(folder), plain).film_shot(Production.open(folder).script.shots[1])


def test_a_film_without_checks_of_a_shot_that_was_changed_is_not_used(plain: PlainEngine, folder: Path) -> None:
    filmed(folder, plain)
    (folder / "takes" / "s1" / "1.json").unlink()
    state = json.loads((folder / "production.json").read_text())
    del state["shots"]["s1"]
    (folder / "production.json").write_text(json.dumps(state))
    change(folder, prompt="another square")
    assert go_on(folder, plain).used("s1") == 2 and len(plain.films) == 4
