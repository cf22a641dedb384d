"""Productions: takes within a budget, decisions of people, crashes, and what is delivered."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.director.conftest import PlainEngine

from kinema.director import production as production_module
from kinema.director.delivery.edit_list import EditedShot, edl_of, otio_of, srt_of, timecode
from kinema.director.delivery.film import deliver, edited_shots, pack_production, title_card
from kinema.director.direct import Director
from kinema.director.next_step import next_steps
from kinema.director.production import Production
from kinema.director.retakes import best_take
from kinema.director.script import Script, TakeBudget, script_from
from kinema.engines import FilmRequest
from kinema.errors import EngineError, InputError
from kinema.media import Clip
from kinema.provenance import own_identity
from kinema.provenance.manifest import read_manifest

DATA: dict[str, Any] = {
    "version": 1,
    "production": {"title": "A test", "size": "48x32"},
    "shots": [
        {
            "id": "s1",
            "prompt": "a square moves",
            "seconds": 2,
            "seed": 1,
            "dialogue": [{"who": "Box", "text": "Hello there"}],
        },
        {"id": "s2", "prompt": "it moves on", "seconds": 2, "seed": 2, "goes_on_from": "s1", "transition": "dissolve"},
        {"id": "s3", "prompt": "it moves more", "seconds": 2, "seed": 3, "scene": "2", "transition": "fade"},
    ],
}


def script(**production: Any) -> Script:
    return script_from({**DATA, "production": {**DATA["production"], **production}})


def moving(request: FilmRequest) -> bool:
    return False


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("takes/*/[0-9]*.mp4"))
    }


def with_motion(script: Script) -> Script:
    """Cameras that move, so that frozen pictures are a fault."""
    return script.model_copy(update={"shots": tuple(one.model_copy(update={"camera": "pan left"}) for one in script.shots)})


def test_each_shot_is_filmed_once_and_goes_on_from_the_last_picture(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    heard: list[dict[str, Any]] = []
    production.listeners.append(heard.append)
    Director(production, plain).film_all()
    assert [line["what"] for line in heard] == ["filmed", "checked", "accepted"] * 3
    assert [request.workflow for request in plain.films] == ["generate", "image", "generate"]
    first = production.open_take("s1", 1)
    assert plain.films[1].first is not None and (plain.films[1].first.frames[0] == first.frames[-1]).all()
    assert "wide shot" in plain.films[0].prompt and [production.used(id) for id in ("s1", "s2", "s3")] == [1, 1, 1]
    Director(production, plain).film_all()
    assert len(plain.films) == 3, "what is done is not filmed again"


def test_a_failing_shot_is_taken_again_with_a_reason_and_the_best_take_is_used(stubborn: Any, folder: Path) -> None:
    engine = stubborn(lambda request: request.seed == 1009)
    production = Production.create(folder, with_motion(script()), "plain")
    Director(production, engine).film_all()
    takes = production.takes("s1")
    assert len(takes) == 2 and takes[1].report.passed and takes[1].plan.change == "seed"
    assert takes[1].plan.reason.startswith("frozen: nothing moves from frame 0 to")
    assert production.used("s1") == 2 and len(production.takes("s2")) == 1
    lines = production.lines()
    refused = [line for line in lines if line["what"] == "refused"]
    assert len(refused) == 1 and "take 1 is refused (score 0." in refused[0]["why"] and "nothing moves" in refused[0]["why"]


def test_the_budget_leaves_a_take_for_each_shot(stubborn: Any, folder: Path) -> None:
    engine = stubborn(lambda request: True)
    production = Production.create(folder, with_motion(script(budget={"takes": 4, "per_shot": 6})), "plain")
    Director(production, engine).film_all()
    assert [len(production.takes(id)) for id in ("s1", "s2", "s3")] == [2, 1, 1] and len(engine.films) == 4
    why = [line["why"] for line in production.lines() if line["what"] == "accepted"]
    assert "the best there is, though nothing moves" in why[0] and "4" in why[1]
    assert best_take(production.takes("s1")).plan.number == 1


def test_takes_of_a_shot_have_a_limit(stubborn: Any, folder: Path) -> None:
    engine = stubborn(lambda request: request.prompt.startswith("a square"))
    production = Production.create(folder, with_motion(script(budget={"per_shot": 3})), "plain")
    Director(production, engine).film_all()
    assert len(production.takes("s1")) == 3 and len({take.plan.seed for take in production.takes("s1")}) == 3


def test_a_retake_leaves_the_bytes_of_other_shots(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    Director(production, plain).film_all()
    before = digests(folder)
    production.retake("s2", 1)
    Director(production, plain).film_all()
    after = digests(folder)
    assert {path: after[path] for path in before} == before and set(after) - set(before) == {"takes/s2/2.mp4"}
    assert production.used("s2") == 2
    production.use("s2", 1, "asked for")
    assert Production.open(folder).used("s2") == 1


def test_locks_words_and_order(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    with pytest.raises(InputError, match="no take to lock"):
        production.lock("s1")
    Director(production, plain).film_all()
    production.lock("s1")
    with pytest.raises(InputError, match="locked"):
        production.reword("s1", "other words")
    production.lock("s1", is_locked=False)
    production.reword("s1", "other words")
    Director(production, plain).film_all()
    assert (
        plain.films[-1].prompt.startswith("other words") and Production.open(folder).script.shots[0].prompt == "other words"
    )
    production.reorder(["s3", "s1", "s2"])
    assert [shot.id for shot in Production.open(folder).script.shots] == ["s3", "s1", "s2"]
    with pytest.raises(InputError, match="earlier shot"):
        production.reorder(["s2", "s1", "s3"])
    with pytest.raises(InputError, match="once"):
        production.reorder(["s1"])
    with pytest.raises(InputError, match="has no take 9"):
        production.use("s1", 9, "asked for")


def test_a_film_without_its_checks_is_checked_and_not_filmed_again(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    Director(production, plain).film_all()
    before = digests(folder)
    (folder / "takes" / "s3" / "1.json").unlink()
    state = json.loads((folder / "production.json").read_text())
    del state["shots"]["s3"]
    (folder / "production.json").write_text(json.dumps(state))
    (folder / "log.jsonl").open("a").write('{"what": "half a li')
    again = Production.open(folder)
    Director(again, plain).film_all()
    assert len(plain.films) == 3 and digests(folder) == before and again.used("s3") == 1
    assert all(isinstance(line, dict) for line in again.lines())
    accepted = [line["shot"] for line in again.lines() if line["what"] == "accepted"]
    assert accepted == ["s1", "s2", "s3"], "a decision that was logged before the crash is not logged twice"


def test_an_engine_that_fails_loses_nothing(plain: PlainEngine, folder: Path) -> None:
    class Failing(PlainEngine):
        def film(self, request: FilmRequest, *more: Any, **named: Any) -> list[Clip]:
            if len(self.films) == 1:
                raise EngineError("out of memory", "out_of_memory")
            return super().film(request, *more, **named)

    production = Production.create(folder, script(), "plain")
    with pytest.raises(EngineError):
        Director(production, Failing()).film_all()
    Director(Production.open(folder), plain).film_all()
    assert len(plain.films) == 2 and Production.open(folder).used("s3") == 1


def test_decisions_that_change_are_logged_each_time(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    with production.writing():
        Director(production, plain).film_all()
        production.retake("s3")
        Director(production, plain).film_all()
        for number in (1, 2, 2, 1):
            production.use("s3", number, "asked for")
    asked_for = [
        line["take"] for line in production.lines() if line.get("why") == "asked for" and line["what"] == "accepted"
    ]
    assert asked_for == [1, 2, 1]


def test_one_director_at_a_time(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    with production.writing(), pytest.raises(InputError, match="another director"), Production.open(folder).writing():
        pass
    with pytest.raises(InputError, match="kinema direct resume"):
        Production.create(folder, script(), "plain")
    with pytest.raises(InputError, match="holds no production"):
        Production.open(folder / "nothing")


def test_decisions_of_another_process_are_not_lost(folder: Path, plain: PlainEngine) -> None:
    """One that opened the folder before it was written to, and waited for its lock or loaded a model meanwhile."""
    waits = Production.create(folder, script(), "plain")
    other = Production.open(folder)
    with other.writing():
        Director(other, plain).film_all()
        other.reorder([*reversed([shot.id for shot in other.script.shots if shot.goes_on_from is None]), *(
            shot.id for shot in other.script.shots if shot.goes_on_from is not None
        )])  # fmt: skip
    with waits.writing():
        assert waits.state == other.state and waits.script == other.script
        waits.lock("s1")
    assert Production.open(folder).used("s3") == other.used("s3")


def test_two_productions_are_not_made_in_one_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands with the same name of a film, at the same time: the second one finds the folder locked."""
    write = production_module.write_text

    def second_begins(path: Path, *given: Any, **named: Any) -> None:
        with pytest.raises(InputError, match="another director"):
            Production.create(folder, scripted_otherwise, "plain")
        write(path, *given, **named)

    scripted_otherwise = script(title="Another one")
    monkeypatch.setattr(production_module, "write_text", second_begins)
    assert Production.create(folder, script(), "plain").script == Production.open(folder).script == script()


def test_the_cut_has_its_transitions_and_lists(plain: PlainEngine, folder: Path, tmp_path: Path) -> None:
    production = Production.create(folder, script(title_card=1), "plain")
    Director(production, plain).film_all()
    identity = own_identity(tmp_path / "identity")
    delivered = deliver(production, tmp_path / "film.mp4", identity=identity)
    film = Clip.open(delivered.film)
    assert film.num_frames == 8 + 3 * 16 - 4 and [path.suffix for path in delivered.others] == [".otio", ".edl", ".srt"]
    edit, clips = edited_shots(production)
    assert [(one.start, one.overlap) for one in edit] == [(8, 0), (20, 4), (36, 0)]
    dark = film.frames[36].mean()
    assert dark < 0.5 * clips[2].frames[0].mean(), "a fade begins dark"
    manifest = read_manifest(delivered.film, identity.anchors)
    assert (
        manifest.trusted and manifest.making == "edited" and manifest.sources == ("s1, take 1", "s2, take 1", "s3, take 1")
    )
    assert film.settings["shots"][1] == {"id": "s2", "take": 1, "start": 20, "frames": 16}
    assert (tmp_path / "film.srt").read_text() == "1\n00:00:01,000 --> 00:00:02,200\nBox: Hello there\n"


def test_signed_takes_are_made_by_a_model(plain: PlainEngine, folder: Path, tmp_path: Path) -> None:
    identity = own_identity(tmp_path / "identity")
    production = Production.create(folder, script(), "plain")
    Director(production, plain, identity=identity).film_all()
    take = read_manifest(production.take_path("s1", 1), identity.anchors)
    assert take.trusted and take.making == "created" and take.model == "plain"
    film = deliver(production, tmp_path / "film.mp4", identity=identity).film
    assert read_manifest(film, identity.anchors).from_kinema


def test_a_shot_is_filmed_by_the_model_that_it_names(plain: PlainEngine, folder: Path) -> None:
    other = PlainEngine()
    shots = [{**one, **({"model": "other"} if one["id"] == "s2" else {})} for one in DATA["shots"]]
    production = Production.create(folder, script_from({**DATA, "shots": shots}), "plain")
    Director(production, plain, open_engine={"other": other}.__getitem__).film_all()
    assert len(plain.films) == 2 and [request.seed for request in other.films] == [2018]


EDIT = [
    EditedShot(id="s1", take=2, path=Path("/p/takes/s1/2.mp4"), start=8, frames=16),
    EditedShot(id="s2", take=1, path=Path("/p/takes/s2/1.mp4"), start=20, frames=16, transition="dissolve", overlap=4),
]


def test_otio_is_as_long_as_the_film_and_names_the_takes() -> None:
    timeline = json.loads(otio_of("A test", EDIT, 8.0, Path("/p")))
    gap, first, transition, second = timeline["tracks"]["children"][0]["children"]
    assert gap["OTIO_SCHEMA"] == "Gap.1" and first["OTIO_SCHEMA"] == "Clip.2" and transition["OTIO_SCHEMA"] == "Transition.1"
    lengths = [part["source_range"]["duration"]["value"] for part in (gap, first, second)]
    assert sum(lengths) == 36 and transition["in_offset"]["value"] + transition["out_offset"]["value"] == 4
    assert first["media_references"]["DEFAULT_MEDIA"]["target_url"] == "takes/s1/2.mp4"


def test_edl_has_the_times() -> None:
    lines = edl_of("A test", EDIT, 8.0).splitlines()
    assert lines[0] == "TITLE: A test" and lines[3].split() == (
        ["001", "S1", "V", "C", "00:00:00:00", "00:00:01:04", "00:00:01:00", "00:00:02:04"]
    )
    assert lines[6].split()[3:5] == ["D", "004"] and timecode(8 * 3661 + 3, 8.0) == "01:01:01:03"
    assert srt_of(EDIT, script_from({**DATA, "shots": [{**one, "dialogue": []} for one in DATA["shots"]]}), 8.0) == ""


def test_titles_are_readable_and_archives_open_elsewhere(plain: PlainEngine, folder: Path, tmp_path: Path) -> None:
    card = title_card("A long title of many words", 96, 64)
    assert card.shape == (64, 96, 3) and card.max() > 200 and card[0].max() < 40
    production = Production.create(folder, script(), "plain")
    Director(production, plain).film_all()
    with zipfile.ZipFile(pack_production(production, tmp_path / "all.zip")) as packed:
        packed.extractall(tmp_path / "elsewhere")
    other = Production.open(tmp_path / "elsewhere" / folder.name)
    assert digests(other.folder) == digests(folder) and other.used("s2") == 1
    deliver(other, tmp_path / "again.mp4")


def test_a_sound_lies_under_the_film(plain: PlainEngine, folder: Path, tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "music.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x00\x40" * 8000)
    production = Production.create(folder, script(sound=str(tmp_path / "music.wav")), "plain")
    Director(production, plain).film_all()
    film = Clip.open(deliver(production, tmp_path / "film.mp4").film)
    assert film.sound is not None and abs(film.sound.samples[:4000]).max() > 1000
    (tmp_path / "music.wav").write_text("no sound")
    with pytest.raises(InputError, match="cannot be read"):
        deliver(production, tmp_path / "other.mp4")


def test_stills_come_before_the_film(plain: PlainEngine, folder: Path) -> None:
    production = Production.create(folder, script(), "plain")
    names = Director(production, plain).film_stills()
    assert names == ["s1.png", "s2.png", "s3.png"] and Clip.open(folder / "stills" / "s1.png").size == "48x32"
    assert not production.takes("s1")


KILLED = """
import os, signal, sys
from pathlib import Path
from kinema.director import production as module
from kinema.director.direct import Director
from tests.director.conftest import PlainEngine
from tests.director.test_production import script
step, folder = int(sys.argv[1]), Path(sys.argv[2])
count = 0
def counted(function):
    def call(*given, **named):
        global count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)
    return call
for name in ("write_text", "replace_file"):
    setattr(module, name, counted(getattr(module, name)))
os.fsync = counted(os.fsync)
os.replace = counted(os.replace)
P = module.Production
production = P.open(folder) if (folder / "production.json").exists() else P.create(folder, script(), "plain")
engine = PlainEngine()
with production.writing():
    Director(production, engine).film_all()
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 5, 6, 7, 9, 12, 15, 20])
def test_killed_at_any_write_it_goes_on(folder: Path, tmp_path: Path, plain: PlainEngine, step: int) -> None:
    whole = Production.create(tmp_path / "whole", script(), "plain")
    Director(whole, plain).film_all()
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    code = subprocess.run([sys.executable, "-c", KILLED, str(step), str(folder)], env=environment, cwd=root).returncode
    assert code == -signal.SIGKILL
    seen = digests(folder)
    assert subprocess.run([sys.executable, "-c", KILLED, "0", str(folder)], env=environment, cwd=root).returncode == 0
    after = digests(folder)
    assert {path: after[path] for path in seen} == seen and after == digests(whole.folder)
    filmed = [(line["shot"], line["take"]) for line in Production.open(folder).lines() if line["what"] == "filmed"]
    assert len(filmed) == len(set(filmed)) <= 3 and not list(folder.rglob("*.tmp*"))


def test_shots_that_wait_for_no_other_can_be_filmed_side_by_side(folder: Path, plain: PlainEngine) -> None:
    """A shot waits for the one that it goes on from or is checked against; of one shot there is one take at a time."""
    shots = [
        {"id": "a1", "prompt": "a", "scene": "a"}, {"id": "a2", "prompt": "b", "scene": "a"},
        {"id": "b1", "prompt": "c", "scene": "b"}, {"id": "b2", "prompt": "d", "scene": "b", "goes_on_from": "a1"},
    ]  # fmt: skip
    data = {"production": {"size": "48x32"}, "shots": [{**shot, "seconds": 1} for shot in shots]}
    production = Production.create(folder, script_from(data), "plain")

    def steps(**given: Any) -> list[str]:
        return [shot.id for shot, _ in next_steps(production, lambda shot: plain.capabilities, **given)]

    assert steps() == ["a1"] and steps(most=9) == ["a1", "b1"] and steps(most=1, making=["a1"]) == []
    assert steps(most=9, making=["a1"]) == ["b1"] and steps(most=2, making=["a1", "b1"]) == []
    Director(production, plain).film_shot(production.script.shots[0])
    assert steps(most=9) == ["a2", "b1", "b2"]
    for budget in ({"takes": 9}, {"seconds": 99.0}):
        limits = production.script.production.model_copy(update={"budget": TakeBudget(**budget)})
        production.script = production.script.model_copy(update={"production": limits})
        assert steps(most=9) == ["a2"] and steps(most=9, making=["a2"]) == []
    Director(production, plain).film_all()
    assert steps(most=9) == []
