"""`kinema models`: added, listed, shown, checked and removed; each mistake, also in the file, in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

from kinema.cli.main import main
from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.registry import ModelEntry, entries, remove_entry, save_entry
from kinema.errors import InputError


@pytest.fixture(scope="session")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("wan", tmp_path_factory.mktemp("open") / "wan")


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KINEMA_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models.toml"


def error_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    assert main(["models", *argv]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_model_from_adding_to_removing(wan: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "add", str(wan), "--alias", "sora-2", "--hash", "--dtype", "fp32"]) == 0
    assert capsys.readouterr().out.startswith(f"wan is added to {file}: Wan")
    (entry,) = entries().values()
    assert (entry.source, entry.aliases, entry.dtype, len(entry.weights_sha256)) == (str(wan), ("sora-2",), "fp32", 64)
    assert "taken by wan" in error_of(capsys, "add", str(wan), "--name", "sora-2")
    assert "there is a model 'wan'" in error_of(capsys, "add", str(wan))
    assert main(["models", "add", str(wan), "--alias", "sora-2", "--force"]) == 0
    assert main(["models"]) == 0
    assert "wan (also sora-2)  Wan" in capsys.readouterr().out
    assert main(["models", "show", "sora-2"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "diffusers"
    assert "no model 'sora-2' was added; it is another name of wan" in error_of(capsys, "remove", "sora-2")
    assert main(["models", "remove", "wan"]) == 0
    assert not entries() and (wan / "model_index.json").is_file()


def test_a_license_is_accepted_before_a_model_is_added(
    wan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its terms are printed in one line; nothing is added before."""
    copy = shutil.copytree(wan, tmp_path / "copy")
    (copy / "README.md").write_text("---\nlicense: other\nlicense_name: tencent-hunyuan-community\n---\n")
    line = error_of(capsys, "add", str(copy))
    assert "add --accept-license" in line and "up to 100 million users a month" in line and not entries()
    assert main(["models", "add", str(copy), "--accept-license"]) == 0
    assert "its license: tencent-hunyuan-community; territory: not in the European Union" in capsys.readouterr().out
    assert "copy" in entries()


@pytest.mark.slow
def test_checking_keeps_what_it_measured(wan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the usual size or one like it; a much smaller film says nothing of it, and is not kept."""
    small = make_tiny("cogvideox", tmp_path / "small")
    save_entry(ModelEntry(name="small", source=str(small), arguments={"use_dynamic_cfg": False}))
    assert main(["models", "check", "small", "--steps", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("small films: 64x64, 2 frames; ") and "measured at 64x64" in shown
    measured = entries()["small"]
    assert measured.memory_bytes and measured.seconds_per_second
    assert measured.arguments == {"use_dynamic_cfg": False}
    save_entry(ModelEntry(name="wan", source=str(wan)))
    assert main(["models", "check", "wan", "--size", "64x48", "--steps", "1"]) == 0
    assert "64x48 says too little of the usual size, 832x480" in capsys.readouterr().out
    assert entries()["wan"].seconds_per_second is None
    assert "0 steps: expected at least 1" in error_of(capsys, "check", "wan", "--steps", "0")
    assert "size" in error_of(capsys, "check", "wan", "--size", "large")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("add", "nothing"), "no such folder nothing: expected one, OWNER/NAME on the hub"),
        (("add", "WAN", "--name", "a b"), "model name 'a b'"),
        (("add", "WAN", "--alias", "a/b"), "alias 'a/b' of wan"),
        (("add", "WAN", "--name", "kinema-tiny"), "'kinema-tiny' is the name of a model that Kinema ships"),
        (("add", "WAN", "--alias", "kinema-tiny"), "'kinema-tiny' is the name of a model that Kinema ships"),
        (("add", "WAN", "--lora", "film=much"), "LoRA 'film=much': expected FILE or FILE=SCALE"),
        (("add", "http://"), "expected the address of a server"),
        (("add", "http://[bad/v1"), "expected the address of a server"),
        (("add", "http://localhost:port"), "expected the address of a server"),
        (("add", "https://me:sk-secret@host/v1"), "keys do not belong in an address"),
        (("add", ""), "argument source: it is empty"),
        (("add", "/nowhere"), "no such folder /nowhere"),
        (("add", "WAN", "--name", ""), "argument --name: it is empty"),
        (("add", "WAN", "--device", "gpu7"), "device 'gpu7' of wan: expected auto, cpu, cuda, cuda:1 or mps"),
        (("add", "WAN", "--key-variable", "X"), "key_variable of wan: it is for another server"),
        (("add", "WAN", "--lost", "resubmit"), "lost of wan: it is for another server"),
        (("add", "WAN", "--control", "depth"), "control depth: wan edits films as they look, steered by coarse alone"),
        (("add", "http://127.0.0.1:1", "--name", "far", "--dtype", "fp32"), "dtype of far: another server films"),
        (("show", "none"), "no model 'none' was added; there are none"),
        (("check", "none"), "no model 'none' was added"),
        (("remove", "none"), "no model 'none' was added"),
        (("remove", "kinema-tiny"), "no model 'kinema-tiny' was added"),
    ],
)
def test_mistakes_are_one_line(
    wan: Path, file: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str
) -> None:
    line = error_of(capsys, *(str(wan) if word == "WAN" else word for word in argv))
    assert message in line and "sk-secret" not in line and not file.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[models.wan", "is no TOML: "),
        ("models = 3", "expected tables [models.NAME]"),
        ("[models]\nwan = 3", "[models.wan] has no source"),
        ("[models.wan]\ndtype = 'fp32'", "[models.wan] has no source"),
        ("[models.wan]\nsource = 3", "[models.wan] has no source"),
        ("[models.wan]\nsource = 'a'\nsorce = 'b'", "[models.wan] has an unknown key 'sorce'"),
        ("[models.wan]\nsource = 'a'\ndtype = 'fp64'", "[models.wan]: dtype 'fp64' of wan: expected fp32, fp16, bf16"),
        ("[models.wan]\nsource = 'a'\ndtype = 16", "dtype of [models.wan] is '16': expected a text"),
        ("[models.wan]\nsource = 'a'\naliases = 'sora-2'", "aliases of [models.wan] is 'sora-2': expected a list of names"),
        ("[models.wan]\nsource = 'a'\naliases = [3]", "aliases of [models.wan] is '[3]': expected a list of names"),
        ("[models.wan]\nsource = 'a'\ncompile = 'yes'", "compile of [models.wan] is 'yes': expected true or false"),
        ("[models.wan]\nsource = 'a'\nloras = ['a=b']", "[models.wan]: LoRA 'a=b'"),
        ("[models.wan]\nsource = 'a'\nlicense = 'mit'", "license of [models.wan] is 'mit': expected a table"),
        ("[models.wan]\nsource = 'a'\nlicense = { nmae = 'mit' }", "[models.wan]: license has 'nmae'"),
        ("[models.wan]\nsource = 'a'\narguments = 3", "arguments of [models.wan] is '3': expected a table"),
        ("[models.wan]\nsource = 'a'\nmemory_bytes = true", "memory_bytes of [models.wan] is 'True': expected a whole number"),
        ("[models.wan]\nsource = 'a'\nmemory_bytes = -5", "[models.wan]: memory_bytes -5 of wan: expected a whole number from 0"),
        ("[models.wan]\nsource = 'a'\nseconds_per_second = nan", "[models.wan]: seconds_per_second nan of wan"),
        ("[models.wan]\nsource = 'a'\narguments = { x = [nan] }", "[models.wan]: arguments of wan: x is nan"),
        ("[models.wan]\nsource = 'a'\ngguf = { vae = 3 }", "gguf of [models.wan] is"),
        ("[models.kinema-tiny]\nsource = 'a'", "[models.kinema-tiny]: 'kinema-tiny' is the name of a model that Kinema ships"),
        ("[models.a]\nsource = 'a'\naliases = ['kinema-tiny']", "[models.a]: 'kinema-tiny' is the name of a model"),
        ("[models.'a b']\nsource = 'a'", "[models.a b]: model name 'a b'"),
        ("[models.a]\nsource = 'a'\n[models.b]\nsource = 'b'\naliases = ['a']", "aliases of [models.b]: 'a' is taken by [models"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake(file: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    """The line names the file, the table and the key, whatever the command is."""
    file.write_text(text)
    for argv in ((), ("show", "wan"), ("remove", "wan")):
        line = error_of(capsys, *argv)
        assert str(file) in line and message in line
    assert file.read_text() == text, "nothing is written over it"


def test_a_file_of_an_editor_that_marks_its_letters(file: Path) -> None:
    """With the mark of UTF-8 at its beginning."""
    file.write_text("[models.wan]\nsource = 'a'\n", encoding="utf-8-sig")
    save_entry(ModelEntry(name="other", source="b"))
    assert list(entries()) == ["wan", "other"]


def test_a_server_that_is_silent_is_added_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "add", "http://127.0.0.1:1", "--name", "far"]) == 0
    assert "note: 127.0.0.1 does not film now: no connection" in capsys.readouterr().out and "far" in entries()


def test_a_file_comes_back_as_it_was_written(file: Path) -> None:
    file.write_text(
        "[models.wan]\nsource = 'a'\naliases = ['x', 'y']\nlicense = { name = 'mit' }\n"
        "[models.wan.arguments]\nshift = 3.0\ndate = 2024-01-01\nwords = ['a\"b', '\\']\nmore = { deep = true }\n"
    )
    before = entries()
    save_entry(ModelEntry(name="other", source="b\x7f"))
    after = entries()
    assert after.pop("other").source == "b\x7f" and after == before
    with pytest.raises(InputError, match="cannot stand in the list"):
        save_entry(ModelEntry(name="third", source="c", arguments={"x": None}))


WRITTEN = """# My models.

# The fast one.
[models.wan]  # of spring
source = "WAN"   # on the large disk
  dtype = 'fp32'
# nobody needs it: compile = true
aliases = [
  "sora-2",  # as the client says
]

[models.wan.arguments]  # of the call
max_sequence_length = 16  # tokens

[models."other.one"]
# The slow one.
source = "other"
license = { name = "mit" }

# The end.
"""


def test_comments_stay(wan: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is added, measured, replaced or removed; only the lines change that are about it."""
    text = WRITTEN.replace("WAN", str(wan))
    file.write_text(text)
    before = entries()
    save_entry(before["wan"])
    assert file.read_text() == text
    assert main(["models", "add", str(wan), "--name", "third"]) == 0
    added = f'[models.third]\nsource = "{wan}"\n'
    assert file.read_text() == f"{text.rstrip()}\n\n{added}"
    assert main(["models", "remove", "third"]) == 0
    assert file.read_text().rstrip() == text.rstrip()
    save_entry(replace(before["wan"], seconds_per_second=2.5, memory_bytes=1_000_000))
    lines = file.read_text().splitlines()
    new = [line for line in lines if line not in text.splitlines()]
    assert [line.split(" = ")[0] for line in new] == ["seconds_per_second", "memory_bytes"]
    assert [line for line in text.splitlines() if line.strip() and line not in lines] == []
    save_entry(replace(before["wan"], dtype="bf16", aliases=(), arguments={"max_sequence_length": 32, "shift": 3.0}))
    changed = file.read_text()
    for kept in (
        "# of spring",
        "# on the large disk",
        "# nobody needs it",
        "# of the call",
        "# tokens",
        "# The slow one.",
        "# The end.",
    ):
        assert kept in changed
    assert entries()["wan"].arguments == {"max_sequence_length": 32, "shift": 3.0} and "sora-2" not in changed
    assert main(["models", "remove", "wan"]) == 0
    assert entries() == {"other.one": before["other.one"]} and "# The slow one." in file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "models = { wan = { source = 'a', dtype = 'fp32' } }\n",
        "[models]\nwan = { source = 'a', dtype = 'fp32' }  # short\n",
        "models.wan.source = 'a'\nmodels.wan.dtype = 'fp32'\n",
        "[models.wan]\nsource = 'a'\ndtype = 'fp32'\n[other]\nx = 1\n[models.two]\nsource = 'b'\n",
    ],
)
def test_other_ways_to_write_it(file: Path, text: str) -> None:
    """Changed as they are, or refused and left alone: never read wrongly afterwards."""
    file.write_text(text)
    before = entries()
    for change, after in (
        (lambda: save_entry(replace(before["wan"], dtype="bf16", compile=True)), {"wan": ("bf16", True)}),
        (lambda: save_entry(ModelEntry(name="new", source="c")), {"new": ("", False)}),
        (lambda: remove_entry("wan"), {}),
    ):
        known, content = entries(), file.read_text()
        try:
            change()
        except InputError as error:
            assert "edit it by hand" in str(error) or "is no TOML" in str(error)
            assert file.read_text() == content
            continue
        found = {name: (entry.dtype, entry.compile) for name, entry in entries().items()}
        expected = {name: (entry.dtype, entry.compile) for name, entry in known.items()} | after
        assert found == {name: value for name, value in expected.items() if after or name != "wan"}


def test_a_model_whose_folder_is_gone(wan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stands in the list with what is missing, and can be removed."""
    copy = shutil.copytree(wan, tmp_path / "copy")
    assert main(["models", "add", str(copy)]) == 0
    shutil.rmtree(copy)
    assert main(["models"]) == 0
    assert "copy  cannot be used: copy: " in capsys.readouterr().out
    assert "fetch it, or add the model anew" in error_of(capsys, "show", "copy")
    assert "fetch it, or add the model anew" in error_of(capsys, "check", "copy")
    assert main(["models", "remove", "copy"]) == 0
