"""Checking takes: what their frames show, against the script."""
