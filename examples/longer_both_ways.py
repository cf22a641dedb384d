"""Extend a clip after its end and before its beginning; the frames that were given stay as they are.

python examples/longer_both_ways.py [FOLDER]
"""

import sys
from pathlib import Path

import kinema

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
folder.mkdir(parents=True, exist_ok=True)

middle = kinema.generate("a purple ball is thrown right and bounces", seconds=1, seed=5)[0]
after = kinema.extend(middle, seconds=1)
both = kinema.extend(after, seconds=1, before=True)
assert (both.frames[16:32] == middle.frames).all()
print(both.save(folder / "longer.mp4", force=True), both)
