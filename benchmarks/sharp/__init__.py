"""Kinema measured at more than 64 pixels: pictures, prompts, perceiving, live worlds (python -m benchmarks.sharp)."""
