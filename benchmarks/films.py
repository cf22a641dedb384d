"""README's picture of films at 128 pixels: python -m benchmarks.films [--write]

Four prompts are filmed by the weights that ship, with one seed each. The parser of the Playground says what it finds in each, and --write
puts a contact sheet into docs/pictures/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kinema
from kinema.evaluation.tasks.prompts import read_identities
from kinema.media.contact_sheet import contact_sheet

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "films.jpg"
PROMPTS = (
    "a red ball rolls right and hits a blue box",
    "a green robot walks left in the snow",
    "a yellow car drives right in a desert",
    "a cyan ball falls and bounces in a lab",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the picture into docs/pictures/")
    given = parser.parse_args()
    clips = [kinema.generate(prompt, seconds=2, seed=0)[0] for prompt in PROMPTS]
    for prompt, clip in zip(PROMPTS, clips, strict=True):
        print(f"{prompt}: {', '.join(read_identities(clip.frames).elements())} at {clip.size}")
    if given.write:
        contact_sheet(clips, captions=PROMPTS, scale=1).save(PICTURE, quality=90)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
