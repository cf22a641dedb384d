"""A world frame by frame: act, ask, change, and see what would have been.

python examples/step_into_it.py [FOLDER]
"""

import sys
from pathlib import Path

import kinema

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
folder.mkdir(parents=True, exist_ok=True)

world = kinema.World("kinema-tiny", "a red ball rolls right, a green robot on a field", seed=1)
print(world.ask("what is there?"))
for _ in range(16):
    frame, state, reward = world.step((0.5, 0.0))
for entity in state.entities:
    print(world.ask(f"where is the {entity.name}?"))
print("understood:", world.edit(f"push the {state.entities[0].name} right"))
for _ in range(16):
    world.step()
both = world.what_if(f"the {state.entities[0].name} had not been pushed", since=16)
print("understood:", both.understood)
both.happened.save(folder / "happened.mp4", force=True)
print(both.instead.save(folder / "instead.mp4", force=True))
