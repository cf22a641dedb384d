#!/usr/bin/env bash
# From nothing to a world that can be played and has a score, in half an hour on two cores.
#
#   runs/speedrun.sh [SEED]          (0 by default; a record takes three)
#
# docs/speedrun.md has the rules and the board of records. To enter, change what makes worlds (src/, this script), commit, and run it
# with three seeds and BOARD=--board NOTE="what is new".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

USAGE='usage: [MINUTES=24] [BOARD=--board] [NOTE="what is new"] runs/speedrun.sh [SEED]

SEED     a whole number from 0 to 9999 (default: 0); episodes are recorded from the seed 1000 * SEED on
MINUTES  of training, above 0 and below 30 (default: 24); with the recording, and what the world is measured by
         at its end, less than 30
BOARD    --board writes the score into docs/speedrun.md
NOTE     what is new, for the board'
refuse() { printf '%s\n\n%s\n' "$1" "$USAGE" >&2; exit 2; }

case ${1:-} in -h | --help) echo "$USAGE"; exit 0 ;; esac
SEED=${1:-0} MINUTES=${MINUTES:-24}
(($# <= 1)) || refuse "$# arguments: expected SEED alone"
[[ $SEED =~ ^(0|[1-9][0-9]{0,3})$ ]] || refuse "SEED '$SEED': expected a whole number from 0 to 9999"
[[ $MINUTES =~ ^[0-9]{1,2}(\.[0-9]+)?$ && $MINUTES =~ [1-9] ]] && ((10#${MINUTES%.*} < 30)) ||
  refuse "MINUTES '$MINUTES': expected a number above 0 and below 30"
[[ ${BOARD:-} =~ ^(--board)?$ ]] || refuse "BOARD '$BOARD': expected --board, or nothing"
OUT=out/speedrun/$SEED
test ! -e "$OUT" || { echo "$OUT is there already: remove it first" >&2; exit 2; }

# 0. The library, with Python and PyTorch; not counted.
make -s setup
PATH=$PWD/.venv/bin:$PATH

# From here on the clock runs.
SECONDS=0

# 1. Record. A room with a key, a locked door and a goal: 300 episodes of a player who does anything at all.
#    Each frame is a picture of 64x64, the action, the reward, whether the episode ended, and where the things are.
kinema record MiniGrid-DoorKey-6x6-v0 -o "$OUT/data" --episodes 300 --most 120 --seed $((1000 * SEED))

# 2. Train. The autoencoder that is shipped is tuned on these pictures, then the network learns what follows from what:
#    the next picture from the four before and from the action, further back by attention, on its own past from a third on.
kinema train world --data "$OUT/data" --out "$OUT/run" --minutes "$MINUTES" --seed "$SEED"
TOOK=$(python -c "print($SECONDS / 60)")

# 3. Score. New episodes, 64 frames ahead: 0 is repeating the last picture, 1 is the real game.
python -m benchmarks.speedrun "$OUT/run" --minutes "$TOOK" --seed "$SEED" ${BOARD:-} --note "${NOTE:-}"

# 4. Play. In the terminal, in the Studio, from Python, or let an agent learn in it:
echo "kinema play $OUT/run/world"
echo "kinema models add $OUT/run/world --name doorkey && kinema serve     # then the page World"
echo "kinema agent train --inside $OUT/run/world -o agent"
