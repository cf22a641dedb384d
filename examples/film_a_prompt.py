"""Film a prompt, save it, and read back what the model says is in it.

python examples/film_a_prompt.py [FOLDER]
"""

import sys
from pathlib import Path

import kinema

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
folder.mkdir(parents=True, exist_ok=True)

clip = kinema.generate("a red ball rolls right and hits a blue box", seconds=2, seed=1)[0]
path = clip.save(folder / "film.mp4", force=True)
print(path, clip)

again = kinema.Clip.open(path)
print("made with", again.settings)

scene = again.state
for slot in scene.entities:
    print(f"{scene.name(slot):14s} from x = {scene.x[0, slot]:.1f} to x = {scene.x[-1, slot]:.1f}")
