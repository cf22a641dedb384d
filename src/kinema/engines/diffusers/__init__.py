"""Pipelines of diffusers as engines: any folder in its two formats."""
