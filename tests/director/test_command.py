"""`kinema direct` refuses options without an effect and files that it may not write, in one line and before it films."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.director.conftest import PlainEngine
from tests.director.test_production import DATA

from kinema.cli import direct
from kinema.cli.main import main
from kinema.director.production import Production
from kinema.director.script import script_from
from kinema.errors import EngineError
from kinema.media import Clip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def films(plain: PlainEngine, monkeypatch: pytest.MonkeyPatch) -> PlainEngine:
    """What films, in the place of a model."""
    monkeypatch.setattr(direct, "engine_from", lambda arguments: plain)
    return plain


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["direct", *words]) == 2, words
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


def make(folder: Path, **production: Any) -> None:
    Production.create(folder, script_from({**DATA, "production": {**DATA["production"], **production}}), "plain")


STORY_ONLY = [
    ["--takes", "6"], ["--budget", "3"], ["--budget-seconds", "3"], ["--size", "32x32"], ["--aspect", "1:1"], ["--seed", "0"],
    ["--style", "ink"], ["--title", "x"], ["--title-card", "0"], ["--sound", "a.wav"], ["--llm", "http://127.0.0.1:9/v1"],
]  # fmt: skip


@pytest.mark.parametrize(
    "option", [*STORY_ONLY, ["--plan-only"], ["--script", "s.json"], ["--folder", "q"], ["--until", "script"]]
)
def test_resume_refuses_what_has_no_effect(here: Path, capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    make(here / "p")
    assert f"{option[0]} " in refused(capsys, "resume", "p", *option)


@pytest.mark.parametrize("option", STORY_ONLY)
def test_a_script_refuses_what_only_a_story_has(here: Path, capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    (here / "s.json").write_text(json.dumps(DATA))
    assert f"{option[0]} with --script" in refused(capsys, "--script", "s.json", *option)
    assert not (here / "film.production").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["A man walks.", "--critic-model", "x"], "--critic-model without --critic"),
        (["A man walks.", "--llm-model", "x"], "--llm-model without --llm"),
        (["A man walks.", "--plan-only", "--zip", "a.zip"], "--zip with --plan-only"),
        (["A man walks.", "--until", "shots", "--zip", "a.zip"], "--zip with --until shots"),
        (["A man walks.", "--plan-only", "--workers", "2"], "--workers with --plan-only"),
        (["A man walks.", "--until", "script", "--workers", "2"], "--workers with --until script"),
        (["A man walks.", "--size", "32x32", "--aspect", "1:1"], "give one of them"),
        (["A man walks.", "-o", "a.txt"], "unknown ending"),
        (["A man walks.", "-o", "no/a.mp4"], "does not exist"),
        (["A man walks.", "--zip", "a.tar"], "expected .zip"),
        (["A man walks.", "--sound", "no.wav"], "no.wav cannot be read"),
    ],
)
def test_nothing_is_made_by_what_is_refused(
    here: Path, films: PlainEngine, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert says in refused(capsys, *words)
    assert not films.films and not list(here.glob("*.production"))


@pytest.mark.parametrize("name", ["out.mp4", "out.edl", "out.otio", "out.srt", "all.zip"])
@pytest.mark.parametrize("resumes", [True, False])
def test_files_of_others_need_force(
    here: Path, films: PlainEngine, capsys: pytest.CaptureFixture[str], name: str, resumes: bool
) -> None:
    (here / name).write_text("mine")
    (here / "s.json").write_text(json.dumps(DATA))
    if resumes:
        make(here / "p")
    words = ["resume", "p"] if resumes else ["--script", "s.json"]
    assert f"{name} exists; pass --force" in refused(capsys, *words, "-o", "out.mp4", "--zip", "all.zip", "--unsigned")
    assert (here / name).read_text() == "mine" and not films.films
    assert main(["direct", *words, "-o", "out.mp4", "--zip", "all.zip", "--unsigned", "--force"]) == 0
    assert (here / name).read_bytes() != b"mine"


def test_the_film_in_the_folder_is_made_anew_and_a_zip_is_not(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(here / "p")
    for _ in range(2):
        assert main(["direct", "resume", "p", "--unsigned"]) == 0
    assert "p/film.mp4  3 shots, 5.5 s" in capsys.readouterr().out, "as long as the film, with its dissolve"
    (here / "a.zip").write_text("mine")
    assert "a.zip exists" in refused(capsys, "resume", "p", "--zip", "a.zip")


@pytest.mark.parametrize("words", [["-o", "p/takes/s1/1.mp4"], ["-o", "p/takes/x.mp4"], ["--zip", "p/takes/s1/a.zip"]])
def test_takes_are_never_overwritten(here: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    make(here / "p")
    assert main(["direct", "resume", "p", "--unsigned"]) == 0
    before = (here / "p" / "takes" / "s1" / "1.mp4").read_bytes()
    assert "among the takes" in refused(capsys, "resume", "p", *words, "--force")
    assert (here / "p" / "takes" / "s1" / "1.mp4").read_bytes() == before


@pytest.mark.parametrize("value", ["²", "1.0", "-1", "9" * 5000, "٣"])
def test_the_number_of_a_take_is_one(here: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    make(here / "p")
    assert "expected the number of a take" in refused(capsys, "resume", "p", "--accept", f"s1={value}")


def test_pictures_are_read_before_anything_is_filmed(
    here: Path, films: PlainEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = [DATA["shots"][0], {**DATA["shots"][2], "first_frame": "first.png"}]
    (here / "s.json").write_text(json.dumps({**DATA, "shots": shots}))
    assert 'shot "s3", first_frame' in refused(capsys, "--script", "s.json", "-o", "a.mp4")
    assert not films.films and not (here / "a.production").exists()
    (here / "a.production").mkdir()
    Clip(frames=np.zeros((1, 32, 48, 3), np.uint8), fps=8.0).save(here / "a.production" / "first.png")
    assert main(["direct", "--script", "s.json", "-o", "a.mp4", "--unsigned"]) == 0


def test_workers_film_side_by_side(here: Path, films: PlainEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a story and of a production that is gone on with, to the same film."""
    monkeypatch.setattr(direct, "_open_engine", open_for_device)
    (here / "s.json").write_text(json.dumps({**DATA, "production": {**DATA["production"], "budget": {"per_shot": 1}}}))
    words = ["direct", "--script", "s.json", "--unsigned", "-o"]
    assert main([*words, "a.mp4", "--workers", "2"]) == 0 and not films.films
    assert main([*words, "b.mp4", "--until", "shots"]) == 0 and len(films.films) == 3
    assert (
        main(["direct", "resume", "b.production", "--unsigned", "--retake", "s1", "--retake", "s3", "--workers", "2"]) == 0
    )
    assert len(films.films) == 3 and Production.open(here / "b.production").used("s3") == 2
    assert main([*words, "c.mp4"]) == 0
    assert (here / "a.mp4").read_bytes() == (here / "c.mp4").read_bytes()


def open_for_device(model: str, *, device: str) -> PlainEngine:
    assert (model, device) == ("plain", "auto")
    return PlainEngine()


def test_the_command_that_goes_on_names_the_film(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["direct", "A man walks.", "-o", "a.mp4", "--until", "shots", "--unsigned"]) == 0
    assert "then: kinema direct resume a.production -o a.mp4" in capsys.readouterr().out


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EngineError("the model's process crashed", "engine_crashed")])
def test_what_stops_it_says_how_to_go_on(
    here: Path, films: PlainEngine, capsys: pytest.CaptureFixture[str], error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def film(*request: object, **more: object) -> list[Clip]:
        raise error

    monkeypatch.setattr(films, "film", film)
    assert main(["direct", "A man walks.", "-o", "a.mp4", "--unsigned"]) != 0
    assert "what was filmed stays; go on with: kinema direct resume a.production -o a.mp4" in capsys.readouterr().err


def test_a_shot_whose_model_is_not_there_is_named_before_anything_is_made(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {**DATA, "shots": [DATA["shots"][0], {**DATA["shots"][2], "model": "nope"}]}
    (here / "s.json").write_text(json.dumps(data))
    said = refused(capsys, "--script", "s.json", "-o", "a.mp4", "--unsigned")
    assert 'shot "s3": ' in said and "nope" in said and not (here / "a.production").exists()
