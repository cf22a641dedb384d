"""Text: a prompt becomes token embeddings, and words outside a model's world are named."""

from kinema.text.encoder import MiniLM, TextEncoder, default_encoder

__all__ = ["MiniLM", "TextEncoder", "default_encoder"]
