"""Clips in and out of files: videos and pictures of any kind in, MP4 (or PNG, GIF, ...) with its settings out."""

from kinema.media.clip import AnyClip, Clip
from kinema.media.read import read_clip
from kinema.media.sound import Sound
from kinema.media.wanted import Limits
from kinema.media.write import write_text

__all__ = ["AnyClip", "Clip", "Limits", "Sound", "read_clip", "write_text"]
