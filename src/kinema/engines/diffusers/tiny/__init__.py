"""Tiny models in the official formats, made without a network: `python -m kinema.engines.diffusers.tiny MODEL FOLDER`."""
