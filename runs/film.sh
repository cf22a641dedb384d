#!/usr/bin/env bash
# From nothing to a model that films what texts say, of pixels alone: films of the Playground with their captions, the training, and
# how texts that it has not seen are followed. What exists is used again; run it again with more MINUTES to go on.
#
#     runs/film.sh                                     # eight hours of one core
#     DEVICE=cuda SIZE=S BATCH=64 MINUTES=9 runs/film.sh   # one GPU
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-.venv/bin/python} FILMS=${FILMS:-12000} MINUTES=${MINUTES:-480} SIZE=${SIZE:-XXS} PATCH=${PATCH:-1}
BATCH=${BATCH:-8} DEVICE=${DEVICE:-cpu} RUN=${RUN:-out/kinema-film}

"$PYTHON" -m benchmarks.scaling --films "$FILMS" --only-films
train=(-m kinema.cli.main train video --data out/scaling/films --size "$SIZE" --patch "$PATCH" --batch "$BATCH" --lengths 1 --rates 1)
train+=(--minutes "$MINUTES" --device "$DEVICE")
if [ -e "$RUN/state.pt" ]; then train+=(--resume "$RUN"); else train+=(--out "$RUN"); fi
"$PYTHON" "${train[@]}"
"$PYTHON" -m benchmarks.film_prompts "$RUN"
# What ships: kinema models shrink out/kinema-film/film -o weights/kinema-film
