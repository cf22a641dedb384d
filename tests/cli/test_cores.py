"""Every command's threads sleep soon while they wait, unless the user has said how they wait."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kinema.cli.cores import SPINS, share_cores

FIND_TORCH = """
import os, sys
from importlib.abc import MetaPathFinder

class Finder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch", os.environ.get("GOMP_SPINCOUNT"))
            sys.stdout.flush()
            os._exit(0)

sys.meta_path.insert(0, Finder())
from kinema.cli.main import main
print("ended", main(sys.argv[1:]))
"""
"""Runs a command up to the moment at which it loads torch, and prints the setting that torch would find."""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"GOMP_SPINCOUNT": SPINS}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_what_the_user_set_stays(given: dict[str, str], found: dict[str, str]) -> None:
    environment = dict(given)
    share_cores(environment)
    assert environment == found


@pytest.mark.parametrize("command", [["generate", "a red ball"], ["perceive", "a.mp4"], ["doctor"]])
def test_it_is_set_before_torch_is_loaded(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIND_TORCH, *command], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"torch {SPINS}"], done.stderr
