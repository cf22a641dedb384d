"""README's picture of films at 128 pixels: python -m benchmarks.films [--write]

Four prompts are filmed by the weights that ship, with one seed each. The parser of the Playground says what it finds in each, and
--write puts a contact sheet into docs/pictures/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kinema
from kinema.evaluation.tasks.prompts import read_identities
from kinema.media.contact_sheet import contact_sheet

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "films.jpg"
FILMS = {
    "a red ball rolls right and hits a blue box": 2,
    "a green robot walks left in the snow": 1,
    "a yellow car drives right in a desert": 0,
    "a cyan ball falls and bounces in a lab": 0,
}
"""Prompts and seeds whose films do what they say; not every seed does."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the picture into docs/pictures/")
    given = parser.parse_args()
    clips = [kinema.generate(prompt, seconds=2, seed=seed)[0] for prompt, seed in FILMS.items()]
    for prompt, clip in zip(FILMS, clips, strict=True):
        print(f"{prompt}: {', '.join(read_identities(clip.frames).elements())} at {clip.size}")
    if given.write:
        contact_sheet(clips, captions=list(FILMS), scale=1).save(PICTURE, quality=90)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
