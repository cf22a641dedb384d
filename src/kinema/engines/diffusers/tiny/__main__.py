"""`python -m kinema.engines.diffusers.tiny MODEL FOLDER` writes a tiny model."""

from __future__ import annotations

import argparse
from pathlib import Path

from kinema.engines.diffusers.tiny.models import MODELS, make_tiny


def main() -> None:
    """Write one model, or all of them into a folder each."""
    parser = argparse.ArgumentParser(prog="python -m kinema.engines.diffusers.tiny", description=main.__doc__)
    parser.add_argument("model", choices=[*MODELS, "all"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    options = parser.parse_args()
    for name in MODELS if options.model == "all" else [options.model]:
        print(make_tiny(name, options.folder / name if options.model == "all" else options.folder, options.seed))


if __name__ == "__main__":
    main()
