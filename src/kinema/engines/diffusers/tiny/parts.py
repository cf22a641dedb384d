"""The smallest autoencoders and picture encoders of each kind, and schedulers. Pictures are shrunk as much as by the real ones."""

from __future__ import annotations

from typing import Any

from kinema.engines.diffusers.tiny.packages import diffusers, transformers

WIDTH = 32
LATENT = 16
HEADS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}


def flow(**options: Any) -> Any:
    """Steps of a flow by Euler's method."""
    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def unipc(shift: float = 3.0) -> Any:
    """Steps of a flow by UniPC."""
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )


def wan_vae() -> Any:
    """8 pixels a side, 4 frames."""
    return diffusers.AutoencoderKLWan(base_dim=4, z_dim=LATENT, dim_mult=[1, 1, 1, 1], num_res_blocks=1)


def wan_5b_vae() -> Any:
    """16 pixels a side, 4 frames."""
    return diffusers.AutoencoderKLWan(
        base_dim=4, z_dim=LATENT, dim_mult=[1, 1, 1, 1], num_res_blocks=1, is_residual=True, in_channels=12, out_channels=12,
        patch_size=2, scale_factor_spatial=16,
    )  # fmt: skip


def ltx_vae() -> Any:
    """32 pixels a side, 8 frames."""
    return diffusers.AutoencoderKLLTXVideo(
        latent_channels=LATENT, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip


def ltx2_vae() -> Any:
    """32 pixels a side, 8 frames."""
    return diffusers.AutoencoderKLLTX2Video(
        latent_channels=LATENT, block_out_channels=(8, 16, 32, 64), decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1), spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )  # fmt: skip


def ltx2_audio_vae() -> Any:
    """Mel spectra of 16 bands, 4 of them in one latent."""
    return diffusers.AutoencoderKLLTX2Audio(
        base_channels=8, ch_mult=(1, 1, 1), num_res_blocks=1, resolution=32, latent_channels=2, mel_bins=16
    )


def hunyuan_vae() -> Any:
    """8 pixels a side, 4 frames."""
    return diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=LATENT,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )


def hunyuan15_vae() -> Any:
    """16 pixels a side, 4 frames."""
    return diffusers.AutoencoderKLHunyuanVideo15(
        latent_channels=8, block_out_channels=(16, 16, 16, 16, 16), layers_per_block=1, downsample_match_channel=False,
        upsample_match_channel=False,
    )  # fmt: skip


def cogvideox_vae() -> Any:
    """8 pixels a side, 4 frames."""
    return diffusers.AutoencoderKLCogVideoX(
        latent_channels=LATENT, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2
    )


def mochi_vae() -> Any:
    """8 pixels a side, 6 frames."""
    return diffusers.AutoencoderKLMochi(
        latent_channels=12, encoder_block_out_channels=(32, 32, 32, 32), decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1), add_attention_block=(False,) * 5,
    )  # fmt: skip


def picture_vae() -> Any:
    """8 pixels a side, picture by picture."""
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=64,
    )  # fmt: skip


def svd_vae() -> Any:
    """8 pixels a side."""
    return diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
    )


def allegro_vae() -> Any:
    """8 pixels a side, 4 frames."""
    return diffusers.AutoencoderKLAllegro(
        block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2, latent_channels=4, sample_size=128
    )


def easyanimate_vae() -> Any:
    """8 pixels a side, 4 frames."""
    return diffusers.AutoencoderKLMagvit(
        block_out_channels=[8, 8, 8, 8], layers_per_block=1, norm_num_groups=2, latent_channels=4, spatial_group_norm=False
    )


def cosmos_vae() -> Any:
    """8 pixels a side, 8 frames."""
    return diffusers.AutoencoderKLCosmos(
        latent_channels=LATENT, encoder_block_out_channels=(8, 8, 8, 8), decode_block_out_channels=(8, 8, 8, 8),
        attention_resolutions=(8,), resolution=64, num_layers=1,
    )  # fmt: skip


def minimax_vae() -> Any:
    """16 pixels a side; 5 latents for 17 frames."""
    channels = 4
    return diffusers.AutoencoderKLMiniMaxH3(
        latent_channels=channels, block_out_channels=(4, 4, 4, 4, 4, 4), layers_per_block=1, norm_num_groups=2,
        decoder_num_layers=1, decoder_num_attention_heads=2, decoder_attention_head_dim=16, decoder_ffn_mult=1,
        latents_mean=(0.0,) * channels, latents_std=(1.0,) * channels,
    )  # fmt: skip


def minimax_audio_vae() -> Any:
    """800 samples of mono sound of 32 kHz."""
    channels = 8
    return diffusers.AutoencoderKLMiniMaxH3Audio(
        encoder_dim=4, encoder_rates=(10, 10, 8), latent_dim=32, latent_channels=channels, num_attention_heads=2,
        decoder_dim=16, decoder_rates=(10, 10, 8), decoder_kernel_sizes=(20, 20, 16), resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),), latents_mean=[0.0] * channels, latents_std=[1.0] * channels,
    )  # fmt: skip


def clip_vision(side: int = 28, *, projected: bool = False) -> Any:
    """Two layers of CLIP's half for pictures, which looks at four patches."""
    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH, projection_dim=WIDTH, intermediate_size=WIDTH, num_hidden_layers=2, num_attention_heads=4,
        image_size=side, patch_size=side // 2,
    )  # fmt: skip
    return (transformers.CLIPVisionModelWithProjection if projected else transformers.CLIPVisionModel)(config)


def clip_processor(side: int = 28) -> Any:
    """Makes pictures ready for CLIP."""
    return transformers.CLIPImageProcessorPil(crop_size={"height": side, "width": side}, size={"shortest_edge": side})


def siglip(tokens_a_side: int = 2) -> Any:
    """One layer of SigLIP's half for pictures."""
    config = transformers.SiglipVisionConfig(
        hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1, num_attention_heads=4,
        image_size=14 * tokens_a_side,
        patch_size=14,
    )  # fmt: skip
    return transformers.SiglipVisionModel(config)


def siglip_processor(tokens_a_side: int = 2) -> Any:
    """Makes pictures ready for SigLIP."""
    side = 14 * tokens_a_side
    return transformers.SiglipImageProcessorPil(size={"height": side, "width": side})
