"""Filming takes: what a shot is given, and what is asked of the engine."""
