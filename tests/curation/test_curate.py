"""Films with one fault each are dropped for that fault, honest ones are kept, and a curation goes on where it was killed."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tests.datasets.films import panning, scenery

from kinema.cli.main import main
from kinema.curation import captioner as captioner_module
from kinema.curation import curate as curate_module
from kinema.curation import film_files
from kinema.curation.captioner import KEY_VARIABLE, Captioner, parse_captions
from kinema.curation.curate import CurationResult, clip_name, curate
from kinema.curation.decide import CurationLimits, parse_limits
from kinema.datasets.clips import CaptionedClips
from kinema.errors import EngineError, InputError
from kinema.media import Clip

FPS = 12.0


def honest(seed: int, count: int = 24) -> np.ndarray:
    return panning(seed, count, 180, 240, step_px=2).frames


def still(seed: int) -> np.ndarray:
    """A tripod: nothing moves but the noise of the sensor."""
    picture, rng = scenery(seed, 180, 240).astype(int), np.random.default_rng(seed)
    return np.stack([(picture + rng.normal(0, 3, picture.shape)).clip(0, 255) for _ in range(24)]).astype(np.uint8)


def small_motion(seed: int) -> np.ndarray:
    """A still picture in which a small ball moves."""
    frames = np.repeat(scenery(seed, 180, 240)[None], 24, 0)
    for i, frame in enumerate(frames):
        frame[80:104, 10 + 8 * i : 34 + 8 * i] = (250, 30, 30)
    return frames


def soft(seed: int) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(f).filter(ImageFilter.GaussianBlur(4))) for f in honest(seed)])


def trembling(seed: int) -> np.ndarray:
    wide, rng = scenery(seed, 240, 320), np.random.default_rng(seed)
    places = (rng.normal(0, 8, (24, 2)) + np.array([30, 40])).clip(0, 60).astype(int)
    return np.stack([wide[y : y + 180, x : x + 240] for y, x in places])


def page_of_text(seed: int) -> np.ndarray:
    frames = []
    for frame in honest(seed):
        picture = Image.fromarray(frame)
        for line in range(7):
            place = 8, 6 + 24 * line
            ImageDraw.Draw(picture).text(place, "Terms and conditions apply", fill="white", font=ImageFont.load_default(17))
        frames.append(np.asarray(picture))
    return np.stack(frames)


def barred(seed: int) -> np.ndarray:
    frames = np.full((24, 240, 240, 3), 4, np.uint8)
    frames[:, 30:210] = honest(seed)
    return frames


FAULTS: dict[str, Callable[[int], np.ndarray]] = {
    "static": still, "blurred": soft, "shaky": trembling, "text": page_of_text,
}  # fmt: skip


def put(folder: Path, name: str, frames: np.ndarray, caption: str | None = "some film") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = Clip(frames=np.ascontiguousarray(frames), fps=FPS).save(folder / f"{name}.mp4", force=True)
    if caption is not None:
        (folder / f"{name}.txt").write_text(caption)
    return path


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One film of every kind."""
    folder = tmp_path_factory.mktemp("raw") / "films"
    for seed, (name, make) in enumerate(FAULTS.items()):
        put(folder, name, make(10 + seed))
    put(folder, "barred", barred(20))
    put(folder, "honest", honest(21), "a pan to the right")
    (folder / "honest.json").write_text(json.dumps({"license": "CC-BY-4.0", "faces": False, "camera": "K1"}))
    put(folder, "same-as-honest", np.stack([np.asarray(Image.fromarray(f).resize((200, 150))) for f in honest(21)]))
    put(folder, "small-motion", small_motion(22))
    put(folder, "two-shots", np.concatenate([honest(23), honest(24)]))
    put(folder, "zz-short", honest(25, 6))
    (folder / "broken.mp4").write_bytes((folder / "honest.mp4").read_bytes()[:2000])
    (folder / "broken.txt").write_text("a broken file")
    return folder


@pytest.fixture(scope="session")
def result(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> CurationResult:
    return curate(raw, tmp_path_factory.mktemp("curated") / "out")


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    return {Path(row["file_name"]).stem: row for row in rows}


def reasons_in(report: Path) -> dict[str, str]:
    """What the page says against each shot, by the name of its film."""
    page = report.read_text()
    found = re.findall(r"<div class=why>([^<]*)</div>(?:<div class=why>[^<]*</div>)*<b>([^<]*)-\d{4}</b>", page)
    return {name: reason for reason, name in found}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_dropped_for_itself_alone(result: CurationResult, fault: str) -> None:
    assert result.dropped[fault] == 1
    assert reasons_in(result.report)[fault].startswith(f"{fault}: ")


def test_honest_shots_are_kept(result: CurationResult) -> None:
    assert result.clips == ("barred-0000", "honest-0000", "small-motion-0000", "two-shots-0000", "two-shots-0001")
    assert result.dropped == {**dict.fromkeys((*FAULTS, "duplicate", "short", "unreadable"), 1)} and result.films == 11


def test_the_page_says_why_and_needs_nothing_else(result: CurationResult) -> None:
    page, reasons = result.report.read_text(), reasons_in(result.report)
    assert (
        reasons["same-as-honest"] == "duplicate: shows the same as honest-0000"
        and reasons["zz-short"] == "short: 0.50 s, below 1"
    )
    assert "broken.mp4 cannot be read" in page and "<b>5 kept</b>" in page and "CC-BY-4.0" in page
    assert page.count("data:image/jpeg;base64,") == 3 * 11 and not re.search(r"(src|href)='?(?!data:)[\w/.]", page)


def test_the_result_is_a_set_of_captioned_clips(result: CurationResult) -> None:
    clips = CaptionedClips.open(result.out)
    by_name = {Path(entry.name).name: entry for entry in clips.entries}
    assert set(by_name) == set(result.clips)
    entry = by_name["honest-0000"]
    assert (entry.caption, entry.license, entry.faces) == ("a pan to the right", "CC-BY-4.0", False)
    assert entry.fields["camera"] == "K1" and entry.fields["film"] == "honest"
    assert by_name["barred-0000"].license == "" and by_name["barred-0000"].faces is None


def test_black_bars_are_cropped_and_shots_cut_where_they_change(result: CurationResult) -> None:
    assert (rows_of(result.out)["barred-0000"]["height"], rows_of(result.out)["barred-0000"]["width"]) in {
        (178, 240),
        (176, 240),
    }
    assert Clip.open(result.out / "videos" / "barred-0000.mp4").frames[:, 2:-2].min(axis=(0, 2, 3)).max() > 0
    truth = np.concatenate([honest(23), honest(24)])
    for name, part in (("two-shots-0000", truth[:24]), ("two-shots-0001", truth[24:])):
        written = Clip.open(result.out / "videos" / f"{name}.mp4").frames
        assert written.shape == part.shape and np.abs(written.astype(int) - part).mean() < 6


def test_long_shots_become_pieces_which_are_no_duplicates(tmp_path: Path) -> None:
    put(tmp_path / "in", "long", honest(30, 60))
    made = curate(tmp_path / "in", tmp_path / "out", limits=CurationLimits(longest_s=2.0), short_side=96)
    rows = rows_of(made.out)
    assert [(row["start_s"], row["frames"], row["height"]) for row in rows.values()] == [
        (0.0, 20, 96),
        (1.6667, 20, 96),
        (3.3333, 20, 96),
    ]


def test_pieces_of_one_shot_that_repeats_itself_stay(tmp_path: Path) -> None:
    put(tmp_path / "in", "pendulum", np.concatenate([small_motion(31), small_motion(31)[::-1], small_motion(31)]))
    made = curate(tmp_path / "in", tmp_path / "out", limits=CurationLimits(longest_s=2.0))
    assert len(made.clips) == 3 and not made.dropped
    put(tmp_path / "in", "twin", small_motion(31))
    assert curate(tmp_path / "in", tmp_path / "out", limits=CurationLimits(longest_s=2.0)).dropped == {"duplicate": 1}


class Killed(Exception):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, module: object, name: str, at: int) -> list[int]:
    """Let a function of a module end the process at its call number `at`; the list counts the calls."""
    real, calls = getattr(module, name), [0]

    def counting(*given: Any, **named: Any) -> Any:
        if calls[0] == at:
            raise Killed
        calls[0] += 1
        return real(*given, **named)

    monkeypatch.setattr(module, name, counting)
    return calls


@pytest.mark.parametrize(("module", "name", "at"), [(film_files, "measure_film", 3), (curate_module, "write_shot", 2)])
def test_a_killed_curation_goes_on_where_it_was(
    raw: Path, result: CurationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, at: int
) -> None:
    with monkeypatch.context() as patched:
        kill_at(patched, module, name, at)
        with pytest.raises(Killed):
            curate(raw, tmp_path / "out")
    left = tmp_path / "out" / "videos" / ".kinema-0123456789ab.tmp.mp4"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half a film")
    counts = {"measure_film": 0, "write_shot": 0}
    with monkeypatch.context() as patched:
        measures = kill_at(patched, film_files, "measure_film", -1)
        writes = kill_at(patched, curate_module, "write_shot", -1)
        made = curate(raw, tmp_path / "out")
        counts = {"measure_film": measures[0], "write_shot": writes[0]}
    assert counts == (
        {"measure_film": 11 - 3, "write_shot": 5} if name == "measure_film" else {"measure_film": 0, "write_shot": 5 - 2}
    )
    assert made.clips == result.clips and made.dropped == result.dropped and rows_of(made.out) == rows_of(result.out)
    assert not left.exists()
    with monkeypatch.context() as patched:
        kill_at(patched, film_files, "measure_film", 0)
        kill_at(patched, curate_module, "write_shot", 0)
        curate(raw, tmp_path / "out")


def test_films_that_change_or_leave_are_noticed(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate("abc"):
        put(source, name, honest(40 + seed))
    curate(source, out)
    put(source, "a", honest(43))
    (source / "b.mp4").unlink()
    (source / "b.txt").unlink()
    curate(source, out)
    assert sorted(path.name for path in (out / "videos").iterdir()) == ["a-0000.mp4", "c-0000.mp4"]
    assert np.abs(Clip.open(out / "videos" / "a-0000.mp4").frames.astype(int) - honest(43)).mean() < 6
    assert curate(source, out, limits=parse_limits(["motion=0"], longest_s=1.0)).clips == (
        "a-0000",
        "a-0001",
        "c-0000",
        "c-0001",
    )


def test_shards_hold_what_the_folder_holds(
    raw: Path, result: CurationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinema.curation import output

    monkeypatch.setattr(output, "SHARD_BYTES", 20_000)
    shutil.copytree(result.out, tmp_path / "out")
    made = curate(raw, tmp_path / "out", shards=True)
    assert not (made.out / "metadata.jsonl").exists() and not list((made.out / "videos").rglob("*.mp4"))
    assert len(list(made.out.glob("shard-*.tar"))) > 1
    loose, sharded = CaptionedClips.open(result.out), CaptionedClips.open(made.out)
    assert [e.name for e in loose.entries] == [e.name for e in sharded.entries], "so the same clips are held out"
    for one, other in zip(loose.entries, sharded.entries, strict=True):
        assert (one.captions, one.license, one.faces) == (other.captions, other.license, other.faces)
        assert (one.num_frames, one.fields) == (other.num_frames, other.fields)
    np.testing.assert_array_equal(loose.read(1).frames, sharded.read(1).frames)
    times = {path: path.stat().st_mtime_ns for path in made.out.glob("shard-*.tar")}
    curate(raw, tmp_path / "out", shards=True)
    assert times == {path: path.stat().st_mtime_ns for path in made.out.glob("shard-*.tar")}
    curate(raw, tmp_path / "out")
    assert not list(made.out.glob("shard-*.tar")) and rows_of(made.out) == rows_of(result.out)


def test_shards_are_films_too(raw: Path, result: CurationResult, tmp_path: Path) -> None:
    """What is curated comes from any layout of captioned clips; the captions and fields in shards are carried on."""
    shards = curate(raw, tmp_path / "shards", shards=True)
    again = curate(shards.out, tmp_path / "again")
    assert len(again.clips) == len(result.clips) and not again.dropped
    row = next(row for name, row in rows_of(again.out).items() if name.startswith("honest"))
    assert (row["caption"], row["license"], row["faces"], row["camera"]) == ("a pan to the right", "CC-BY-4.0", False, "K1")
    assert row["film"] == "videos/honest-0000", "of this curation, not of the one before"


class VisionServer:
    """A stand-in for a server with OpenAI's chat completions: it says how bright the pictures are that it gets."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.failures: list[tuple[int, str]] = []
        self.fenced = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append({**body, "path": self.path})
                outer.keys.append(self.headers.get("authorization"))
                status, content = outer.failures.pop(0) if outer.failures else (200, outer.say(body))
                payload = {"choices": [{"message": {"role": "assistant", "content": content}}]}
                data = json.dumps(payload if status == 200 else {"error": {"message": content}}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def say(self, body: dict[str, Any]) -> str:
        pictures = [part for part in body["messages"][0]["content"] if part["type"] == "image_url"]
        text = json.dumps(
            {"short": f"{len(pictures)} frames.", "detailed": "They pan\n over scenery.", "tags": ["pan", "scenery"]}
        )
        return f"Here it is:\n```json\n{text}\n```" if self.fenced else text


@pytest.fixture
def vision(monkeypatch: pytest.MonkeyPatch) -> Iterator[VisionServer]:
    monkeypatch.setattr(captioner_module, "FIRST_WAIT_S", 0.01)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    server = VisionServer()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def two(tmp_path: Path) -> Path:
    for seed, name in enumerate("ab"):
        put(tmp_path / "in", name, honest(50 + seed), None)
    return tmp_path / "in"


def test_a_vision_model_writes_three_kinds_of_captions(
    two: Path, tmp_path: Path, vision: VisionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    vision.fenced = True
    made = curate(two, tmp_path / "out", captioner=Captioner(f"{vision.address}/v1", "eyes-7b"))
    row = rows_of(made.out)["a-0000"]
    assert (row["caption"], row["caption_short"], row["caption_tags"]) == (
        "They pan over scenery.",
        "6 frames.",
        "pan, scenery",
    )
    assert CaptionedClips.open(made.out).entries[0].captions == ("They pan over scenery.", "6 frames.", "pan, scenery")
    sent = vision.requests[0]
    assert (sent["path"], sent["model"], vision.keys[0]) == ("/v1/chat/completions", "eyes-7b", "Bearer secret")
    assert sent["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert "They pan over scenery." in made.report.read_text()
    curate(two, tmp_path / "out", captioner=Captioner(vision.address, "eyes-7b"))
    assert len(vision.requests) == 2, "what is captioned is not captioned again"
    curate(two, tmp_path / "out", captioner=Captioner(vision.address, "eyes-8b"))
    assert len(vision.requests) == 4, "but by another model it is"


def test_a_server_that_is_busy_or_talks_is_asked_again(two: Path, tmp_path: Path, vision: VisionServer) -> None:
    vision.failures = [(503, "busy"), (200, "I see a nice film."), (500, "oops")]
    assert len(curate(two, tmp_path / "out", captioner=Captioner(vision.address, "eyes")).clips) == 2
    assert len(vision.requests) == 5


def test_a_server_that_fails_stops_the_run_which_goes_on_later(two: Path, tmp_path: Path, vision: VisionServer) -> None:
    vision.failures = [(200, vision.say({"messages": [{"content": []}]})), *[(500, "out of order")] * 4]
    with pytest.raises(EngineError, match=r"gave no captions in 4 tries \(out of order\); run the command again"):
        curate(two, tmp_path / "out", captioner=Captioner(vision.address, "eyes"))
    vision.failures = [(401, "no key")]
    with pytest.raises(EngineError, match=r"refuses to caption \(no key\); set KINEMA_CAPTION_KEY"):
        curate(two, tmp_path / "out", captioner=Captioner(vision.address, "eyes"))
    count = len(vision.requests)
    curate(two, tmp_path / "out", captioner=Captioner(vision.address, "eyes"))
    assert len(vision.requests) == count + 1, "the first clip had its captions"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"short": "a", "detailed": "b"}', '{"short": "", "detailed": "b", "tags": ["c"]}']
)
def test_answers_without_all_three_kinds_are_none(text: str) -> None:
    assert parse_captions({"choices": [{"message": {"content": text}}]}) is None
    assert parse_captions({"choices": []}) is None


def test_names_of_clips_hold_no_dots_and_stay_apart() -> None:
    names = [clip_name(film, 3) for film in ("a/b", "a.b", "a b", "a_b")]
    assert names[0] == "a/b-0003" and names[3] == "a_b-0003" and len(set(names)) == 4
    assert all(re.fullmatch(r"[\w/-]+", name) for name in names)


def test_the_command_prints_what_came_of_it(
    two: Path, tmp_path: Path, vision: VisionServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["curate", str(two), str(tmp_path / "out"), "--caption", vision.address, "--caption-model", "eyes"]
    assert main([*arguments, "--limit", "shake=2", "--short-side", "64", "--shortest", "0.5", "--longest", "1"]) == 0
    out = capsys.readouterr().out
    assert "4 clips of 2 films" in out and "report.html  shows what was kept" in out
    assert rows_of(tmp_path / "out")["a-0001"]["height"] == 64


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["IN", "OUT"], "a.mp4 has no caption (2 of 2 films have none); write texts beside them"),
        (["IN", "IN"], "lie in each other"),
        (["IN", "IN/out"], "lie in each other"),
        (["nothing", "OUT"], "nothing does not exist"),
        (["IN", "FULL"], "is not empty and holds no curation"),
        (["IN", "OUT", "--caption", "http://127.0.0.1:1"], "--caption URL and --caption-model NAME go together"),
        (["IN", "OUT", "--caption", "nowhere", "--caption-model", "x"], "--caption 'nowhere': expected the address"),
        (["IN", "OUT", "--limit", "taste=3"], "limit 'taste=3': expected NAME=NUMBER with one of"),
        (["IN", "OUT", "--limit", "blur=-1"], "limit blur -1.0: expected 0 or more"),
        (["IN", "OUT", "--shortest", "9", "--longest", "3"], "shots from 9 to 3 seconds"),
        (["IN", "OUT", "--short-side", "4"], "a shorter side of 4 pixels"),
    ],
)
def test_mistakes_are_one_line(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    places = {"IN": str(two), "OUT": str(tmp_path / "out"), "FULL": str(tmp_path / "full"), "IN/out": str(two / "out")}
    assert main(["curate", *(places.get(part, part) for part in arguments)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_curation_that_keeps_nothing_says_so_and_shows_why(tmp_path: Path) -> None:
    put(tmp_path / "in", "a", still(0))
    with pytest.raises(InputError, match=r"no shot of .* was kept \(static 1\); .*report\.html shows why"):
        curate(tmp_path / "in", tmp_path / "out")
    assert reasons_in(tmp_path / "out" / "report.html")["a"].startswith("static: motion")
