"""Text: a prompt becomes token embeddings, its parts get their times, and words outside a model's world are named."""

from kinema.text.encoder import MiniLM, TextEncoder, default_encoder
from kinema.text.storyboard import TextSpan, parse_storyboard
from kinema.text.vocabulary import FUNCTION_WORDS, suggest, unknown_words

__all__ = [
    "FUNCTION_WORDS",
    "MiniLM",
    "TextEncoder",
    "TextSpan",
    "default_encoder",
    "parse_storyboard",
    "suggest",
    "unknown_words",
]
