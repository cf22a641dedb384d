"""Pictures of the cast are looked for in takes of any engine."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.director.conftest import PlainEngine

from kinema.cli import direct
from kinema.cli.main import main
from kinema.director.checking import looks
from kinema.director.checking.looks import LookChecks, LookEncoder, parts_of
from kinema.director.direct import Director
from kinema.director.filming.staging import ground_of, staged_picture, staged_scene
from kinema.director.production import Production
from kinema.director.script import CastIdentity, Script, script_from
from kinema.errors import InputError, MediaError
from kinema.media import Clip

needs_package = pytest.mark.skipif(find_spec(looks.PACKAGE) is None, reason="needs kinema[look]")


def scene(kinds: dict[str, str], background: str, *, zoom: float = 1.0) -> Clip:
    """Things by kind and color beside each other, 128x128."""
    identities = {kind: CastIdentity(kind=kind, color=color) for kind, color in kinds.items()}
    places = {kind: ((5.0 if zoom > 1 else 2.5 + 4 * i), ground_of(one)) for i, (kind, one) in enumerate(identities.items())}
    height = next(iter(places.values()))[1] if zoom > 1 else 5.0
    camera = np.array([5.0, height, zoom], np.float32)
    return staged_picture(
        staged_scene(identities, places, camera=camera, fps=8.0, aspect=1.0, background=background), 128, 128
    )


def pictured(**cast: Any) -> Script:
    member = {"id": "robot", "name": "the robot", "look": "a green robot", "pictures": ["robot.png"], **cast}
    shot = {"id": "s1", "prompt": "a robot stands", "seconds": 1, "cast": ["robot"]}
    return script_from({"production": {"size": "48x32", "budget": {"per_shot": 1}}, "cast": [member], "shots": [shot]})


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (90, 31)])
def test_parts_cover_the_whole_picture(height: int, width: int) -> None:
    picture = np.arange(height * width * 3).reshape(height, width, 3)
    parts = list(parts_of(picture))
    assert {int(part[0, 0, 0]) for part in parts} >= {0} and all(part.shape[0] == part.shape[1] for part in parts)
    smallest = min(part.shape[0] for part in parts)
    covered = {int(value) for part in parts if part.shape[0] == smallest for value in part[..., 0].ravel()}
    assert len(covered) == height * width and len(parts) < 250


@needs_package
def test_the_same_thing_elsewhere_is_more_alike_than_another_one(tmp_path: Path) -> None:
    scene({"robot": "green"}, "lab", zoom=4.0).save(tmp_path / "robot.png")
    checks = LookChecks(pictured(), tmp_path)
    (shot,) = pictured().shots
    (there,) = checks.checks(shot, scene({"robot": "green", "box": "blue"}, "night"))
    (gone,) = checks.checks(shot, scene({"ball": "green", "box": "blue"}, "night"))
    assert there.name == "same look: robot" and there.passed and not gone.passed and "expected 0.67" in gone.saw
    whole = LookEncoder().features([scene({"robot": "green"}, "lab", zoom=4.0).frames[0]])
    assert np.allclose(np.linalg.norm(whole, axis=1), 1.0, atol=1e-5)


@needs_package
def test_a_director_keeps_looks_in_its_reports(folder: Path, plain: PlainEngine) -> None:
    production = Production.create(folder, pictured(), "plain")
    scene({"robot": "green"}, "lab", zoom=4.0).save(folder / "robot.png")
    Director(production, plain, looks=LookChecks(production.script, folder)).film_all()  # type: ignore[arg-type]
    (look,) = [one for one in production.takes("s1")[0].report.results if one.name.startswith("same look")]
    assert not look.passed, "a square is no robot"


def test_what_cannot_be_compared_is_told_before_anything_is_filmed(
    tmp_path: Path, plain: PlainEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(direct, "engine_from", lambda arguments: plain)
    for script in (pictured(), pictured(pictures=[])):
        with pytest.raises((InputError, MediaError)):
            LookChecks(script, tmp_path)
    Path("s.json").write_text(pictured(pictures=[]).to_json())
    assert main(["direct", "--script", "s.json", "--look", "--unsigned"]) == 2
    assert "nobody of the cast has pictures" in capsys.readouterr().err
    assert main(["direct", "--script", "s.json", "--look", "--plan-only"]) == 2
    assert main(["direct", "--script", "s.json", "--look", "--until", "stills"]) == 2
    monkeypatch.setattr(looks, "find_spec", lambda name: None)
    Path("s.json").write_text(json.dumps(json.loads(pictured().to_json())))
    capsys.readouterr()
    assert main(["direct", "--script", "s.json", "--look", "--unsigned"]) == 2
    assert "pip install 'kinema[look]'" in capsys.readouterr().err
    assert not plain.films and not Path("film.production").exists()
