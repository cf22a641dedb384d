"""The packages that tiny models are made of."""

from __future__ import annotations

import importlib
from typing import Any

diffusers: Any = importlib.import_module("diffusers")
transformers: Any = importlib.import_module("transformers")
