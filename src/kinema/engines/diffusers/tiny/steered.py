"""Tiny models that are steered by a drawing of a scene, and upscalers."""

from __future__ import annotations

import importlib
from typing import Any

from kinema.engines.diffusers.tiny.packages import diffusers
from kinema.engines.diffusers.tiny.parts import LATENT, ltx2_vae, ltx_vae, picture_vae
from kinema.engines.diffusers.tiny.words import clip_text_encoder, clip_tokenizer


def animatediff_control() -> Any:
    """AnimateDiff with a ControlNet."""
    sizes: dict[str, Any] = {
        "block_out_channels": (8, 8), "layers_per_block": 1, "cross_attention_dim": 32, "norm_num_groups": 4,
        "attention_head_dim": 4, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "in_channels": 4,
    }  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        **sizes, out_channels=4, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), sample_size=8
    )
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 8), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4
    )
    scheduler = diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=False, steps_offset=1)
    vae = picture_vae()
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    halvings = factor.bit_length() - 1  # the drawing is made as small as the latents
    return diffusers.AnimateDiffControlNetPipeline(
        text_encoder=clip_text_encoder(), tokenizer=clip_tokenizer(), vae=vae, unet=unet, motion_adapter=adapter,
        scheduler=scheduler,
        controlnet=diffusers.ControlNetModel(**sizes, conditioning_embedding_out_channels=(8,) * (halvings + 1)),
    )  # fmt: skip


def ltx_upscaler() -> Any:
    """The upscaler of LTX-Video."""
    module: Any = importlib.import_module("diffusers.pipelines.ltx.modeling_latent_upsampler")
    upsampler = module.LTXLatentUpsamplerModel(in_channels=LATENT, mid_channels=32, num_blocks_per_stage=1)
    return diffusers.LTXLatentUpsamplePipeline(vae=ltx_vae(), latent_upsampler=upsampler)


def ltx2_upscaler() -> Any:
    """The upscaler of LTX-2."""
    module: Any = importlib.import_module("diffusers.pipelines.ltx2.latent_upsampler")
    upsampler = module.LTX2LatentUpsamplerModel(in_channels=LATENT, mid_channels=32, num_blocks_per_stage=1)
    return diffusers.LTX2LatentUpsamplePipeline(vae=ltx2_vae(), latent_upsampler=upsampler)
