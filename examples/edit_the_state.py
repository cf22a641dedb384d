"""The state is a track like any other: perceive a clip, move something, film the changed state.

python examples/edit_the_state.py [FOLDER]
"""

import sys
from dataclasses import replace
from pathlib import Path

import kinema

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
folder.mkdir(parents=True, exist_ok=True)

clip = kinema.generate("a green star and an orange box in the snow", seconds=1, seed=3)[0]
scene = kinema.perceive(clip)
print("seen:", ", ".join(scene.name(slot) for slot in scene.entities))

moved = scene.x.copy()
moved[:, 0] = 10 - moved[:, 0]
mirrored = kinema.render(replace(scene, x=moved))
clip.save(folder / "before.mp4", force=True)
print(mirrored.save(folder / "after.mp4", force=True))
