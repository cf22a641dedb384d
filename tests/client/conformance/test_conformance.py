"""The checks of `kinema conform`: a correct server passes, and each planted fault is caught by the check that is about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs kinema[serve]")
pytest.importorskip("uvicorn", reason="needs kinema[serve]")

from tests.client.conformance.standin import KEY, SGLANG, SIZE, VLLM_OMNI, StandIn, serving

from kinema.cli.main import main
from kinema.client.conformance import ConformanceRun, RunOptions, all_checks, checks_table, json_report, run_checks
from kinema.client.conformance.check import GROUPS
from kinema.errors import InputError, KinemaError
from kinema.media import Clip

ROOT = Path(__file__).parents[3]
FAULTS = {
    "status_word": ("object.status",),
    "seconds_number": ("object.seconds",),
    "progress_float": ("object.progress",),
    "created_ms": ("object.created_at",),
    "completed_early": ("object.completed_at",),
    "no_model": ("object.model",),
    "never_ends": ("polling.ends",),
    "progress_falls": ("polling.progress",),
    "status_back": ("polling.forward",),
    "in_progress_while_queued": ("polling.queued",),
    "form_refused": ("create.multipart",),
    "json_refused": ("create.json",),
    "ascii_prompt": ("create.unicode",),
    "early_content": ("content.before_completion",),
    "cut_film": ("content.mp4",),
    "other_size": ("content.size",),
    "range_off": ("content.range",),
    "variant_ignored": ("content.thumbnail", "content.spritesheet", "content.unknown_variant"),
    "no_last_id": ("list.last_id", "list.after"),
    "after_repeats": ("list.after",),
    "order_ignored": ("list.order",),
    "begins_anew": ("list.unknown_cursor",),
    "delete_leaves": ("delete.gone",),
    "delete_runs_on": ("delete.stops",),
    "delete_answers_record": ("delete.answer",),
    "remix_of_nothing": ("change.remix",),
    "any_key": ("auth.unknown",),
    "any_model": ("errors.unknown_model",),
    "prompt_cut": ("errors.long_prompt",),
    "crash_at_size": ("errors.bad_size",),
    "html_errors": ("errors.unknown_video", "run.errors_are_json", "run.error_objects"),
    "detail_errors": ("run.error_objects",),
    "same_id": ("load.distinct_ids",),
    "orphan_upload": ("load.lost_upload",),
    "key_of_another": ("load.idempotency_other",),
}
"""Each fault and the checks that fail because of it."""


def run_on(standin: StandIn, *only: str, timeout_s: float = 10.0) -> ConformanceRun:
    with serving(standin) as url:
        options = RunOptions(url=url, key=standin.key, size=SIZE, seconds="1", timeout_s=timeout_s, only=only)
        return run_checks(options)


def failed(run: ConformanceRun) -> dict[str, str]:
    return {
        result.check.name: f"{result.came}; expected {result.expected}"
        for result in run.results
        if result.ending == "failed"
    }


@pytest.fixture(scope="module")
def correct() -> ConformanceRun:
    return run_on(StandIn(key=KEY))


def test_a_correct_server_passes(correct: ConformanceRun) -> None:
    assert not failed(correct) and correct.conforms
    endings = {result.check.name: result.ending for result in correct.results}
    assert {name for name, ending in endings.items() if ending == "not offered"} == {
        "list.before", "change.edit", "change.extend"
    }  # fmt: skip
    assert {name for name, ending in endings.items() if ending == "skipped"} == {"load.retry_after"}
    assert correct.num_films > 10 and not correct.left, "all films are deleted"
    assert correct.took_s < 60


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    film_s = 0.25 if fault == "in_progress_while_queued" else 0.15  # shorter ones cannot be told apart
    run = run_on(StandIn(faults=frozenset({fault}), key=KEY, film_s=film_s), *FAULTS[fault], timeout_s=1.5)
    assert failed(run).keys() == set(FAULTS[fault]), failed(run)


def test_what_there_is_not_is_no_failure() -> None:
    """No keys, and none of what only some servers offer."""
    lacks = {"ranges", "variants", "remix", "cancel", "models", "idempotency", "expiry", "poll_after", "first_id", "prompt"}
    optional = [check.name for check in all_checks() if check.level == "optional" and check.name != "load.retry_after"]
    run = run_on(StandIn(lacks=frozenset(lacks)), "auth", *optional)
    assert run.conforms and not failed(run)
    assert {result.ending for result in run.results if result.check.group == "auth"} == {"skipped"}
    assert run.counts["not offered"] >= 14


def test_vllm_omni() -> None:
    """What its users report (ENGINES.md 1.5), and no other failure."""
    run = run_on(StandIn(faults=VLLM_OMNI[0], lacks=VLLM_OMNI[1], film_s=0.25))
    assert failed(run).keys() == {"create.json", "polling.queued", "delete.stops", "load.lost_upload"}, failed(run)


def test_sglang_diffusion() -> None:
    run = run_on(StandIn(faults=SGLANG[0], lacks=SGLANG[1], film_s=0.52))
    assert failed(run).keys() == {
        "polling.in_progress", "content.thumbnail", "content.spritesheet", "content.unknown_variant", "list.after",
        "list.last_id", "list.has_more", "delete.answer", "delete.stops", "errors.unknown_model", "run.error_objects",
    }, failed(run)  # fmt: skip
    assert not run.conforms


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_official_client_works_with_what_passes(tmp_path: Path) -> None:
    """The server that passes all checks is one that the official client can use."""
    openai = pytest.importorskip("openai", reason="needs the openai package")
    with serving(StandIn(key=KEY)) as url:
        client: Any = openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
        videos = [client.videos.create_and_poll(prompt=f"a ball, {i}", seconds="1", size=SIZE) for i in range(3)]
        assert [video.status for video in videos] == 3 * ["completed"]
        assert [video.id for video in client.videos.list(limit=1)] == [video.id for video in reversed(videos)]
        client.videos.download_content(videos[0].id).write_to_file(tmp_path / "film.mp4")
        assert Clip.open(tmp_path / "film.mp4").size == SIZE
        assert client.videos.delete(videos[0].id).deleted
        with pytest.raises(openai.NotFoundError, match="no such video"):
            client.videos.retrieve(videos[0].id)
        with pytest.raises(openai.BadRequestError) as refused:
            client.videos.create(prompt="a ball", seconds="soon")
        assert refused.value.param == "seconds" and refused.value.request_id


def test_json_has_the_published_shape(correct: ConformanceRun) -> None:
    validators = pytest.importorskip("jsonschema_rs", reason="needs the package of schemathesis")
    validator = validators.Draft202012Validator(json.loads((ROOT / "docs" / "conformance.schema.json").read_text()))
    report: dict[str, Any] = json.loads(json.dumps(json_report(correct)))
    validator.validate(report)
    assert KEY not in json.dumps(report)
    assert report["conforms"] is True and sum(report["counts"].values()) == len(report["checks"]) == len(all_checks())
    assert not validator.is_valid({**report, "version": 2}) and not validator.is_valid({**report, "checks": [{}]})


def test_the_document_lists_every_check() -> None:
    page = (ROOT / "docs" / "conformance.md").read_text()
    begin, end = "<!-- checks: python -m kinema.client.conformance.report -->\n", "<!-- end of checks -->"
    shown = page.partition(begin)[2].partition(end)[0]
    assert shown == checks_table(), "python -m kinema.client.conformance.report prints the table of docs/conformance.md"


def test_every_check_says_what_it_is_for() -> None:
    names = [check.name for check in all_checks()]
    assert len(names) == len(set(names)) >= 60 and {check.group for check in all_checks()} == set(GROUPS)
    for check in all_checks():
        assert check.needed_for[-1] == "." and 4 < len(check.needed_for.split()) < 30, check.name
    assert set().union(*FAULTS.values()) <= set(names)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINEMA_KEY", KEY)
    report = tmp_path / "report.json"
    with serving(StandIn(key=KEY, faults=frozenset({"any_model"}))) as url:
        command = ["conform", f"{url}/v1/", "--size", SIZE, "--seconds", "1", "--json", str(report)]
        assert main([*command, "--only", "reach.answers", "--only", "errors.unknown_model"]) == 1
        shown = capsys.readouterr().out
        assert "Bad values\n  failed      errors.unknown_model" in shown and "why: A client that asks" in shown
        assert "does not conform: 1 required checks failed: errors.unknown_model" in shown
        assert [check["name"] for check in json.loads(report.read_text())["checks"]] == [
            "reach.answers",
            "errors.unknown_model",
        ]
        assert main([*command, "--only", "reach"]) == 0
        assert "conforms: no required check failed" in capsys.readouterr().out
        assert main([*command, "--only", "reach.answer"]) == 2
        assert "did you mean 'reach.answers'?" in capsys.readouterr().err


def test_mistakes_in_the_options() -> None:
    with pytest.raises(InputError, match="expected one such as"):
        RunOptions(url="127.0.0.1:8000")
    with pytest.raises(InputError, match="above 0"):
        RunOptions(url="http://x", timeout_s=0)
    with pytest.raises(KinemaError, match="no server at http://127"):
        run_checks(RunOptions(url="http://127.0.0.1:9", only=("reach",)))
