"""A tiny MiniMax-H3: film and stereo sound in one packed sequence, in the modular format."""

from __future__ import annotations

from typing import Any

from kinema.engines.diffusers.tiny.packages import diffusers, transformers
from kinema.engines.diffusers.tiny.parts import WIDTH, minimax_audio_vae, minimax_vae
from kinema.engines.diffusers.tiny.words import qwen3_vl, qwen_tokenizer

TEXT_LAYERS = 51
"""The network reads what comes out of the 50th, which must not be the last."""


def minimax_h3() -> Any:
    """MiniMax-H3 with both of its networks: for words and known ends, and for references."""
    vae, audio_vae = minimax_vae(), minimax_audio_vae()
    pipeline = diffusers.MiniMaxH3Blocks().init_pipeline()
    pipeline.update_components(
        vae=vae, audio_vae=audio_vae, text_encoder=qwen3_vl(TEXT_LAYERS), tokenizer=qwen_tokenizer(), processor=_processor(),
        scheduler=diffusers.MiniMaxH3Scheduler(shift=12.0), audio_scheduler=diffusers.MiniMaxH3Scheduler(shift=3.0),
        **{name: _network(vae, audio_vae) for name in ("transformer", "transformer_ref")},
    )  # fmt: skip
    return pipeline


def _network(vae: Any, audio_vae: Any) -> Any:
    return diffusers.MiniMaxH3Transformer3DModel(
        num_attention_heads=2, attention_head_dim=16, hidden_size=32, num_layers=2, num_refiner_layers=1, ffn_dim=32,
        in_channels=vae.config.latent_channels, audio_in_channels=audio_vae.config.latent_channels, text_dim=WIDTH,
        freq_dim=32, time_embed_hidden_dim=32, time_embed_dim=32, rope_freq_dim=2,
    )  # fmt: skip


def _processor() -> Any:
    """Makes pictures ready for the text encoder. The official class does the same with pictures, but its half for videos needs
    torchvision."""
    pictures = transformers.Qwen2VLImageProcessorPil(
        patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    )
    return transformers.ColQwen2Processor(image_processor=pictures, tokenizer=qwen_tokenizer())
