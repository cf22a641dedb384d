"""The table of families in the documentation is the one of the code."""

from __future__ import annotations

from pathlib import Path

from kinema.engines.diffusers.families import families_table

ENGINES = Path(__file__).parents[2] / "docs" / "engines.md"


def test_the_table_of_families_is_up_to_date() -> None:
    """After a change of the table: replace it by what `python -m kinema.engines.diffusers.families` prints."""
    begin, end = "<!-- families: begin -->\n", "<!-- families: end -->"
    table = ENGINES.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    assert table == families_table()
