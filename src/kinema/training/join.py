"""Join two trainings that began with the same weights: python -m kinema.training.join LOCAL REST --out FOLDER

`kinema train tiny-drawing` trains the local parts alone (stem, stamps, heads) and `tiny-contacts` the contacts, so that each may
have a core of its own. The joined model has the first ones of LOCAL and the others of REST, and LOCAL's
config and card.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

from safetensors.torch import load_file

from kinema.errors import ModelError
from kinema.models.hub import CARD, WEIGHTS, find, read_config, save

LOCAL = ("video_in.", "stamp.", "sketch_out.", "video_out.", "sight_out.")
"""Beginnings of the names of the local parts' parameters."""


def join(local: Path, rest: Path, out: Path) -> None:
    """Write the joined model to `out`; ModelError where the two are not of one shape."""
    one, two = read_config(local), read_config(rest)
    if one.denoiser != two.denoiser or one.codec != two.codec:
        raise ModelError(
            f"{local} and {rest} are models of different shapes; join trainings that began with the same weights"
        )
    weights, others = load_file(local / WEIGHTS), load_file(rest / WEIGHTS)
    weights |= {name: x for name, x in others.items() if not name.startswith(LOCAL)}
    told = [config.trained for config in (one, two)]
    trained = {
        **one.trained,
        "recipe": " and ".join(str(t.get("recipe")) for t in told),
        "steps": sum(int(t.get("steps", 0)) for t in told) - min(int(t.get("steps_before", 0)) for t in told),
        "minutes": round(sum(float(t.get("minutes", 0.0)) for t in told), 1),
        "date": date.today().isoformat(),
        "losses": {**told[1].get("losses", {}), **told[0].get("losses", {})},
    }
    save(out, replace(one, trained=trained), weights, (local / CARD).read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("local", type=Path, help="the model whose local parts are taken")
    parser.add_argument("rest", type=Path, help="the model whose other parts are taken")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    join(find(given.local), find(given.rest), given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
