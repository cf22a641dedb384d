"""Laws of a server's settings: one list, read from command line, environment and file, in this order."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path

import pytest

from kinema.cli.main import build_parser, main
from kinema.cli.settings import SETTINGS, fill, markdown
from kinema.errors import InputError

ROOT = Path(__file__).parents[2]


def parsed(*argv: str, environment: dict[str, str] | None = None) -> argparse.Namespace:
    arguments = build_parser().parse_args([*argv])
    fill(arguments, environment or {})
    return arguments


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "kinema.toml"
    file.write_text('port = 1\nkeep-days = 7\nmax_steps = 50\nlabel = true\nalias = ["a=kinema-tiny"]\n')
    return file


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(config: Path) -> None:
    environment = {"KINEMA_SERVE_PORT": "2", "KINEMA_SERVE_KEEP_DAYS": "8", "KINEMA_SERVE_LABEL": "", "UNRELATED": "x"}
    given = parsed("serve", "--config", str(config), "--port", "3", environment=environment)
    assert (given.port, given.keep_days, given.max_steps, given.host) == (3, 8.0, 50, "127.0.0.1")
    assert given.label is True, "an empty variable counts as not given"
    assert parsed("serve", "--config", str(config), "--no-label").label is False
    by_variable = parsed("serve", environment={"KINEMA_SERVE_CONFIG": str(config), "KINEMA_SERVE_LABEL": "no"})
    assert (by_variable.port, by_variable.label) == (1, False)


def test_lists_are_replaced_and_not_joined(config: Path) -> None:
    assert parsed("serve", "--config", str(config)).alias == [("a", "kinema-tiny")]
    environment = {"KINEMA_SERVE_ALIAS": "b=x, c=y"}
    assert parsed("serve", "--config", str(config), environment=environment).alias == [("b", "x"), ("c", "y")]
    both = parsed("serve", "--config", str(config), "--alias", "d=z", "--alias", "e=z", environment=environment)
    assert both.alias == [("d", "z"), ("e", "z")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "prot is no setting; did you mean port?"),
        ("keep = 1", "keep is no setting; did you mean keep-days?"),
        ("port = 'x'", "port: 'x': expected a whole number"),
        ("label = 3", "label: expected true or false, got 3"),
        ("port = [1]", "port: expected one value"),
        ("port = true", "port: expected one value"),
        ("alias = 3", "alias: expected a list of texts"),
        ("[serve]\nport = 1", "serve is no setting"),
        ("port 3", "are no TOML"),
    ],
)
def test_a_file_that_says_nonsense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "kinema.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        parsed("serve", "--config", str(file))
    with pytest.raises(InputError, match=r"gone\.toml cannot be read: No such file"):
        parsed("serve", "--config", str(tmp_path / "gone.toml"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KINEMA_SERVE_PROT", "1", "KINEMA_SERVE_PROT, which is no setting; did you mean KINEMA_SERVE_PORT?"),
        ("KINEMA_SERVE_PORT", "eight", "KINEMA_SERVE_PORT: 'eight': expected a whole number"),
        ("KINEMA_SERVE_LABEL", "maybe", "KINEMA_SERVE_LABEL: expected true or false, got maybe"),
        ("KINEMA_SERVE_ALIAS", "x", "KINEMA_SERVE_ALIAS: 'x': expected NAME=MODEL"),
    ],
)
def test_a_variable_that_says_nonsense_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parsed("serve", environment={name: value})


def test_every_setting_is_read_in_all_three_ways(tmp_path: Path) -> None:
    """By the same rule; so none of the list is forgotten in one of them."""
    texts = {"alias": "a=b", "host": "h", "policy": "m:o", "database": "postgresql://me@x/y", "device": "cpu"}
    texts |= {"root-path": "/x", "territory": "DE", "artifacts": "s3://x/y"}
    for setting in SETTINGS:
        text = "true" if setting.flag else texts.get(setting.name, "3")
        option = [f"--{setting.option}"] if setting.flag else [f"--{setting.option}", text]
        file = tmp_path / "one.toml"
        file.write_text(f"{setting.option} = {'true' if setting.flag else f'{text!r}'}")
        values = [
            getattr(parsed("serve", *option), setting.name),
            getattr(parsed("serve", environment={setting.variable: text}), setting.name),
            getattr(parsed("serve", "--config", str(file)), setting.name),
        ]
        assert values[0] == values[1] == values[2] != setting.default, setting.option


def test_commands_share_what_they_have_in_common() -> None:
    environment = {"KINEMA_SERVE_DATA": "d", "KINEMA_SERVE_DATABASE": "postgresql://x", "KINEMA_SERVE_PORT": "5"}
    for argv in (("worker",), ("keys", "list"), ("backup", "f"), ("restore", "f"), ("serve",)):
        given = parsed(*argv, environment=environment)
        assert (given.data, given.database) == (Path("d"), "postgresql://x"), argv
        assert hasattr(given, "port") == (argv == ("serve",))


def test_the_defaults_are_those_of_the_server() -> None:
    pytest.importorskip("fastapi", reason="needs kinema[serve]")
    from kinema.cli.serve import settings
    from kinema.server.settings import Settings

    plain = Settings(data=Path("kinema-data"))
    assert settings(parsed("serve")) == settings(parsed("worker")) == plain
    assert {setting.field for setting in SETTINGS if setting.field} == {field.name for field in fields(Settings)}


def test_secrets_are_not_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINEMA_SERVE_DATABASE", "postgresql://me:hush@x/y")
    monkeypatch.setenv("KINEMA_SERVE_PORT", "81")
    assert main(["serve", "--show-settings", "--max-steps", "9"]) == 0
    said = capsys.readouterr().out
    assert "hush" not in said and "(hidden)" in said
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines()}
    assert lines["port"] == ["81", "KINEMA_SERVE_PORT"] and lines["max-steps"] == ["9", "command", "line"]
    assert {setting.option for setting in SETTINGS} == lines.keys()


def test_the_documents_list_every_setting() -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    shown = page.partition("<!-- settings: python -m kinema.cli.settings -->\n")[2].partition("<!-- end of settings -->")[0]
    assert shown == markdown(), "python -m kinema.cli.settings prints the table of docs/serving.md"


def test_help_says_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "(default: 8000)" in said and "(default: SQLite in the data folder)" in said and "--no-label" in said
