"""Delivering a film: the cut, its edit lists, and archives."""
