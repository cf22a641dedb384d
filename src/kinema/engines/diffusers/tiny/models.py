"""Tiny models of each family: official classes and formats, random weights, the smallest layers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kinema.engines.diffusers.tiny.cosmos import cosmos1, cosmos1_image, cosmos2_image, cosmos3, cosmos25, cosmos_transfer
from kinema.engines.diffusers.tiny.minimax import minimax_h3
from kinema.engines.diffusers.tiny.packages import diffusers, transformers
from kinema.engines.diffusers.tiny.parts import (
    HEADS,
    LATENT,
    WIDTH,
    allegro_vae,
    clip_processor,
    clip_vision,
    cogvideox_vae,
    easyanimate_vae,
    flow,
    hunyuan15_vae,
    hunyuan_vae,
    ltx2_audio_vae,
    ltx2_vae,
    ltx_vae,
    mochi_vae,
    picture_vae,
    siglip,
    siglip_processor,
    svd_vae,
    unipc,
    wan_5b_vae,
    wan_vae,
)  # fmt: skip
from kinema.engines.diffusers.tiny.steered import animatediff_control, ltx2_upscaler, ltx_upscaler
from kinema.engines.diffusers.tiny.words import (
    clip_text_encoder,
    clip_tokenizer,
    gemma2,
    gemma3,
    gemma_tokenizer,
    llama,
    llama_tokenizer,
    llava,
    qwen_text,
    qwen_tokenizer,
    qwen_vl,
    t5_encoder,
    t5_tokenizer,
)  # fmt: skip
from kinema.errors import InputError


def make_tiny(name: str, folder: Path, seed: int = 0) -> Path:
    """Write a tiny model into a folder, with random weights from a seed.

    Args:
        name: One of MODELS.
        folder: Made if it is not there.
        seed: Of the weights.

    Returns:
        The folder.
    """
    if name not in MODELS:
        raise InputError(f"no tiny model {name!r}; there are {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = MODELS[name]()
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                _without_zeros(part)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(pipeline, diffusers.ModularPipeline):
        pipeline.save_pretrained(str(folder), overwrite_modular_index=True)
    else:
        pipeline.save_pretrained(folder)
    return folder


@torch.no_grad()
def _without_zeros(network: torch.nn.Module) -> None:
    """Random values for layers that begin as zeros, so that words and pictures have an effect without training."""
    for weights in network.parameters():
        if weights.ndim > 1 and not weights.any():
            weights.normal_(std=0.1)


def _wan_network(kind: str = "WanTransformer3DModel", **options: Any) -> Any:
    sizes = {**HEADS, "in_channels": LATENT, "out_channels": LATENT, "text_dim": WIDTH, "freq_dim": 32, "ffn_dim": 32}
    network = getattr(diffusers, kind)(**{**sizes, **options})
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(2.5)  # so that words are seen in pictures of bytes
    return network


def _umt5() -> dict[str, Any]:
    return {"tokenizer": t5_tokenizer(), "text_encoder": t5_encoder(umt5=True)}


def _t5() -> dict[str, Any]:
    return {"tokenizer": t5_tokenizer(), "text_encoder": t5_encoder()}


def _clip() -> dict[str, Any]:
    return {"tokenizer": clip_tokenizer(), "text_encoder": clip_text_encoder()}


def wan() -> Any:
    """Wan 2.1 from words, and video to video."""
    return diffusers.WanPipeline(**_umt5(), vae=wan_vae(), scheduler=unipc(), transformer=_wan_network())


def wan_image(**options: Any) -> Any:
    """Wan 2.1 from a first picture."""
    network = _wan_network(in_channels=2 * LATENT + 4, image_dim=WIDTH, added_kv_proj_dim=32, **options)
    return diffusers.WanImageToVideoPipeline(
        **_umt5(),
        vae=wan_vae(),
        scheduler=unipc(),
        transformer=network,
        image_encoder=clip_vision(),
        image_processor=clip_processor(),
    )


def wan_ends() -> Any:
    """Wan 2.1 from a first and a last picture."""
    return wan_image(pos_embed_seq_len=2 * 5)


def wan22() -> Any:
    """Wan 2.2 A14B: one network for much noise, one for little."""
    return diffusers.WanPipeline(
        **_umt5(),
        vae=wan_vae(),
        scheduler=unipc(),
        transformer=_wan_network(),
        transformer_2=_wan_network(),
        boundary_ratio=0.875,
    )


def wan22_image() -> Any:
    """Wan 2.2 A14B from a picture: no encoder of pictures."""
    first, second = (_wan_network(in_channels=2 * LATENT + 4) for _ in range(2))
    return diffusers.WanImageToVideoPipeline(
        **_umt5(), vae=wan_vae(), scheduler=unipc(), transformer=first, transformer_2=second, boundary_ratio=0.9
    )


def wan22_5b() -> Any:
    """Wan 2.2 5B: larger steps in space; one folder for words and pictures."""
    return diffusers.WanPipeline(
        **_umt5(), vae=wan_5b_vae(), scheduler=unipc(5.0), transformer=_wan_network(), expand_timesteps=True
    )


def wan_vace() -> Any:
    """Wan VACE: a video and a mask of what is to be made."""
    network = _wan_network("WanVACETransformer3DModel", vace_layers=[0], vace_in_channels=2 * LATENT + 64)
    return diffusers.WanVACEPipeline(**_umt5(), vae=wan_vae(), scheduler=unipc(), transformer=network)


def wan_vace_modular() -> Any:
    """Wan 2.2 VACE in the modular format, with two networks."""
    first, second = (
        _wan_network("WanVACETransformer3DModel", vace_layers=[0], vace_in_channels=2 * LATENT + 64) for _ in range(2)
    )
    pipeline = diffusers.Wan22VaceBlocks().init_pipeline()
    pipeline.update_components(**_umt5(), vae=wan_vae(), scheduler=unipc(), transformer=first, transformer_2=second)
    return pipeline


def wan_animate() -> Any:
    """Wan Animate: a picture of somebody, moved by videos of a pose and a face."""
    network = _wan_network(
        "WanAnimateTransformer3DModel", in_channels=2 * LATENT + 4, latent_channels=LATENT, image_dim=WIDTH,
        added_kv_proj_dim=32,
        motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8}, motion_encoder_size=16, motion_style_dim=8, motion_dim=4,
        motion_encoder_dim=16, face_encoder_hidden_dim=16, face_encoder_num_heads=2, inject_face_latents_blocks=2,
    )  # fmt: skip
    return diffusers.WanAnimatePipeline(
        **_umt5(),
        vae=wan_vae(),
        scheduler=unipc(),
        transformer=network,
        image_encoder=clip_vision(),
        image_processor=clip_processor(),
    )


def wan_modular() -> Any:
    """Wan 2.1 from words, in the modular format."""
    pipeline = diffusers.WanBlocks().init_pipeline()
    pipeline.update_components(**_umt5(), vae=wan_vae(), scheduler=unipc(), transformer=_wan_network())
    return pipeline


def ltx_modular() -> Any:
    """LTX-Video in the modular format: from words or a first picture."""
    pipeline = diffusers.LTXAutoBlocks().init_pipeline()
    pipeline.update_components(**_t5(), vae=ltx_vae(), scheduler=flow(), transformer=_ltx_network())
    return pipeline


def helios_modular() -> Any:
    """Helios in the modular format."""
    pipeline = diffusers.HeliosAutoBlocks().init_pipeline()
    pipeline.update_components(**_umt5(), vae=wan_vae(), scheduler=_helios_scheduler(), transformer=_helios_network())
    return pipeline


def _ltx_network() -> Any:
    return diffusers.LTXVideoTransformer3DModel(
        **HEADS, in_channels=LATENT, out_channels=LATENT, cross_attention_dim=32, caption_channels=WIDTH
    )


def ltx() -> Any:
    """LTX-Video."""
    return diffusers.LTXPipeline(**_t5(), vae=ltx_vae(), scheduler=flow(), transformer=_ltx_network())


def ltx2() -> Any:
    """LTX-2: film and sound."""
    ltx2_parts: Any = importlib.import_module("diffusers.pipelines.ltx2")
    transformer = diffusers.LTX2VideoTransformer3DModel(
        **HEADS, in_channels=LATENT, out_channels=LATENT, cross_attention_dim=32, audio_in_channels=8, audio_out_channels=8,
        audio_num_attention_heads=2, audio_attention_head_dim=8, audio_cross_attention_dim=16, caption_channels=WIDTH,
    )  # fmt: skip
    connectors = ltx2_parts.LTX2TextConnectors(
        caption_channels=WIDTH, text_proj_in_factor=3, video_connector_num_attention_heads=4,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1, video_connector_num_learnable_registers=None, audio_connector_num_attention_heads=4,
        audio_connector_attention_head_dim=8, audio_connector_num_layers=1, audio_connector_num_learnable_registers=None,
    )  # fmt: skip
    vocoder = ltx2_parts.LTX2Vocoder(
        in_channels=32, hidden_channels=16, upsample_kernel_sizes=[30, 16], upsample_factors=[15, 16],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1]],
    )  # fmt: skip
    return diffusers.LTX2Pipeline(
        scheduler=flow(), vae=ltx2_vae(), audio_vae=ltx2_audio_vae(), text_encoder=gemma3(), tokenizer=gemma_tokenizer(),
        connectors=connectors, transformer=transformer, vocoder=vocoder,
    )  # fmt: skip


def _hunyuan_sizes(**options: Any) -> dict[str, Any]:
    sizes = {
        **HEADS, "num_layers": 1, "num_single_layers": 1, "num_refiner_layers": 1, "in_channels": LATENT,
        "out_channels": LATENT,
        "text_embed_dim": WIDTH, "pooled_projection_dim": WIDTH, "rope_axes_dim": (4, 6, 6), "mlp_ratio": 2.0,
    }  # fmt: skip
    return {**sizes, **options}


def hunyuan() -> Any:
    """HunyuanVideo 1.0."""
    return diffusers.HunyuanVideoPipeline(
        text_encoder=llama(), tokenizer=llama_tokenizer(), text_encoder_2=clip_text_encoder(), tokenizer_2=clip_tokenizer(),
        transformer=diffusers.HunyuanVideoTransformer3DModel(**_hunyuan_sizes()), vae=hunyuan_vae(),
        scheduler=flow(shift=7.0),
    )  # fmt: skip


def hunyuan_image() -> Any:
    """HunyuanVideo 1.0 from a first picture, which its text encoder looks at."""
    network = diffusers.HunyuanVideoTransformer3DModel(
        **_hunyuan_sizes(in_channels=LATENT * 2 + 1, image_condition_type="latent_concat", guidance_embeds=False)
    )
    return diffusers.HunyuanVideoImageToVideoPipeline(
        text_encoder=llava(), tokenizer=llama_tokenizer(), text_encoder_2=clip_text_encoder(), tokenizer_2=clip_tokenizer(),
        transformer=network, vae=hunyuan_vae(), scheduler=flow(shift=7.0), image_processor=clip_processor(336),
    )  # fmt: skip


def framepack() -> Any:
    """FramePack: on from a picture, window by window."""
    network = diffusers.HunyuanVideoFramepackTransformer3DModel(
        **_hunyuan_sizes(has_image_proj=True, image_proj_dim=WIDTH, has_clean_x_embedder=True)
    )
    return diffusers.HunyuanVideoFramepackPipeline(
        text_encoder=llama(), tokenizer=llama_tokenizer(), text_encoder_2=clip_text_encoder(), tokenizer_2=clip_tokenizer(),
        transformer=network, vae=hunyuan_vae(), scheduler=flow(shift=7.0), image_encoder=siglip(),
        feature_extractor=siglip_processor(),
    )  # fmt: skip


def _hunyuan15(kind: str, task: str, **more: Any) -> Any:
    network = diffusers.HunyuanVideo15Transformer3DModel(
        **HEADS, in_channels=2 * 8 + 1, out_channels=8, num_refiner_layers=1, mlp_ratio=2.0, text_embed_dim=WIDTH,
        text_embed_2_dim=WIDTH, image_embed_dim=WIDTH, rope_axes_dim=(4, 6, 6), target_size=64, task_type=task,
    )  # fmt: skip
    return getattr(diffusers, kind)(
        text_encoder=qwen_text(), tokenizer=qwen_tokenizer(), transformer=network, vae=hunyuan15_vae(),
        scheduler=flow(shift=7.0),
        text_encoder_2=t5_encoder(400), tokenizer_2=transformers.ByT5Tokenizer(),
        guider=diffusers.ClassifierFreeGuidance(guidance_scale=6.0),
        **more,
    )  # fmt: skip


def hunyuan15() -> Any:
    """HunyuanVideo 1.5."""
    return _hunyuan15("HunyuanVideo15Pipeline", "t2v")


def hunyuan15_image() -> Any:
    """HunyuanVideo 1.5 from a first picture."""
    return _hunyuan15(
        "HunyuanVideo15ImageToVideoPipeline", "i2v", image_encoder=siglip(27), feature_extractor=siglip_processor(27)
    )


def _cogvideox_network(channels: int, **options: Any) -> Any:
    return diffusers.CogVideoXTransformer3DModel(
        **HEADS, in_channels=channels, out_channels=LATENT, time_embed_dim=32, text_embed_dim=WIDTH, sample_width=8,
        sample_height=8,
        sample_frames=9, max_text_seq_length=226, use_rotary_positional_embeddings=True, **options,
    )  # fmt: skip


def cogvideox() -> Any:
    """CogVideoX from words, and video to video."""
    return diffusers.CogVideoXPipeline(
        **_t5(), vae=cogvideox_vae(), transformer=_cogvideox_network(LATENT), scheduler=diffusers.CogVideoXDDIMScheduler()
    )


def cogvideox_image() -> Any:
    """CogVideoX from a first picture."""
    return diffusers.CogVideoXImageToVideoPipeline(
        **_t5(),
        vae=cogvideox_vae(),
        transformer=_cogvideox_network(2 * LATENT),
        scheduler=diffusers.CogVideoXDDIMScheduler(),
    )


def cogvideox15() -> Any:
    """CogVideoX 1.5 from words, and video to video: its network takes two latents in time at once."""
    network = _cogvideox_network(LATENT, patch_size_t=2, patch_bias=False)
    return diffusers.CogVideoXPipeline(
        **_t5(), vae=cogvideox_vae(), transformer=network, scheduler=diffusers.CogVideoXDDIMScheduler()
    )


def cogvideox15_image() -> Any:
    """CogVideoX 1.5 from a first picture."""
    network = _cogvideox_network(2 * LATENT, patch_size_t=2, patch_bias=False, ofs_embed_dim=32)
    return diffusers.CogVideoXImageToVideoPipeline(
        **_t5(), vae=cogvideox_vae(), transformer=network, scheduler=diffusers.CogVideoXDDIMScheduler()
    )


def mochi() -> Any:
    """Mochi."""
    network = diffusers.MochiTransformer3DModel(
        **HEADS, pooled_projection_dim=16, in_channels=12, text_embed_dim=WIDTH, time_embed_dim=8, max_sequence_length=256
    )
    return diffusers.MochiPipeline(**_t5(), vae=mochi_vae(), transformer=network, scheduler=flow(invert_sigmas=True))


def _skyreels_network(**options: Any) -> Any:
    return _wan_network("SkyReelsV2Transformer3DModel", **options)


def skyreels() -> Any:
    """SkyReels-V2."""
    return diffusers.SkyReelsV2Pipeline(**_umt5(), vae=wan_vae(), scheduler=unipc(8.0), transformer=_skyreels_network())


def skyreels_forcing() -> Any:
    """SkyReels-V2 with diffusion forcing: films of any length, each part with a history."""
    return diffusers.SkyReelsV2DiffusionForcingPipeline(
        **_umt5(), vae=wan_vae(), scheduler=unipc(8.0), transformer=_skyreels_network(inject_sample_info=True)
    )


def _helios_network() -> Any:
    return _wan_network("HeliosTransformer3DModel", rope_dim=(4, 6, 6))


def _helios_scheduler() -> Any:
    return diffusers.HeliosScheduler(stage_range=[0, 1], stages=1)


def helios() -> Any:
    """Helios: chunk by chunk."""
    return diffusers.HeliosPipeline(**_umt5(), vae=wan_vae(), scheduler=_helios_scheduler(), transformer=_helios_network())


def _sana(kind: str, scheduler: Any) -> Any:
    network = diffusers.SanaVideoTransformer3DModel(
        **HEADS, in_channels=LATENT, out_channels=LATENT, num_cross_attention_heads=2, cross_attention_head_dim=16,
        cross_attention_dim=32, caption_channels=WIDTH, sample_size=8,
    )  # fmt: skip
    return getattr(diffusers, kind)(
        tokenizer=gemma_tokenizer(), text_encoder=gemma2(), vae=wan_vae(), transformer=network, scheduler=scheduler
    )


def sana_video() -> Any:
    """Sana-Video."""
    return _sana("SanaVideoPipeline", _dpm())


def sana_video_image() -> Any:
    """Sana-Video from a first picture."""
    return _sana("SanaImageToVideoPipeline", flow())


def _dpm() -> Any:
    return diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0, algorithm_type="dpmsolver++", solver_order=2
    )


def _kandinsky(kind: str) -> Any:
    network = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=LATENT, out_visual_dim=LATENT, in_text_dim=WIDTH, in_text_dim2=WIDTH, time_dim=16, model_dim=32,
        ff_dim=32,
        num_text_blocks=1, num_visual_blocks=2, axes_dims=(4, 6, 6), visual_cond=True,
    )  # fmt: skip
    return getattr(diffusers, kind)(
        transformer=network, vae=hunyuan_vae(), text_encoder=qwen_vl(), tokenizer=qwen_tokenizer(),
        text_encoder_2=clip_text_encoder(),
        tokenizer_2=clip_tokenizer(), scheduler=flow(shift=5.0),
    )  # fmt: skip


def kandinsky5() -> Any:
    """Kandinsky 5 from words."""
    return _kandinsky("Kandinsky5T2VPipeline")


def kandinsky5_image() -> Any:
    """Kandinsky 5 from a first picture."""
    return _kandinsky("Kandinsky5I2VPipeline")


def _unet_sizes(**options: Any) -> dict[str, Any]:
    return {
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "cross_attention_dim": WIDTH,
        "norm_num_groups": 4,
        **options,
    }


def animatediff() -> Any:
    """AnimateDiff: a model of pictures with layers for motion."""
    unet = diffusers.UNet2DConditionModel(
        **_unet_sizes(), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D",
        "CrossAttnUpBlock2D"),
        attention_head_dim=4, sample_size=8,
    )  # fmt: skip
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 8), motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4
    )
    scheduler = diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=False, steps_offset=1)
    return diffusers.AnimateDiffPipeline(
        **_clip(), vae=picture_vae(), unet=unet, motion_adapter=adapter, scheduler=scheduler
    )


def svd() -> Any:
    """Stable Video Diffusion: from a picture, without words."""
    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96, layers_per_block=1, cross_attention_dim=WIDTH, num_attention_heads=2,
        num_frames=4,
        sample_size=8,
    )  # fmt: skip
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_schedule="scaled_linear", interpolation_type="linear", prediction_type="v_prediction", steps_offset=1,
        timestep_spacing="leading", timestep_type="continuous", sigma_max=700.0, sigma_min=0.002, use_karras_sigmas=True,
    )  # fmt: skip
    return diffusers.StableVideoDiffusionPipeline(
        vae=svd_vae(),
        image_encoder=clip_vision(224, projected=True),
        unet=unet,
        scheduler=scheduler,
        feature_extractor=clip_processor(224),
    )


def modelscope() -> Any:
    """ModelScope's text to video, and Zeroscope."""
    unet = diffusers.UNet3DConditionModel(
        **_unet_sizes(), down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"), up_block_types=("UpBlock3D",
        "CrossAttnUpBlock3D"),
        attention_head_dim=4, sample_size=8,
    )  # fmt: skip
    return diffusers.TextToVideoSDPipeline(
        **_clip(), vae=picture_vae(), unet=unet, scheduler=diffusers.DDIMScheduler(clip_sample=False)
    )


def allegro() -> Any:
    """Allegro."""
    network = diffusers.AllegroTransformer3DModel(
        num_attention_heads=2, attention_head_dim=24, num_layers=1, in_channels=4, out_channels=4, cross_attention_dim=48,
        sample_width=8, sample_height=8, sample_frames=8, caption_channels=WIDTH,
    )  # fmt: skip
    scheduler = diffusers.EulerAncestralDiscreteScheduler(beta_schedule="linear")
    return diffusers.AllegroPipeline(**_t5(), vae=allegro_vae(), transformer=network, scheduler=scheduler)


def latte() -> Any:
    """Latte."""
    network = diffusers.LatteTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, num_layers=1, sample_size=8, patch_size=2, in_channels=4,
        out_channels=8,
        caption_channels=WIDTH, cross_attention_dim=32, norm_type="ada_norm_single", attention_bias=True,
        num_embeds_ada_norm=1000,
        norm_elementwise_affine=False,
    )  # fmt: skip
    return diffusers.LattePipeline(
        **_t5(), vae=picture_vae(), transformer=network, scheduler=diffusers.DDIMScheduler(clip_sample=False)
    )


def easyanimate() -> Any:
    """EasyAnimate."""
    network = diffusers.EasyAnimateTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, num_layers=2, mmdit_layers=2, in_channels=4, out_channels=4,
        patch_size=2,
        time_embed_dim=8, text_embed_dim=WIDTH, sample_width=8, sample_height=8,
    )  # fmt: skip
    text_encoder = transformers.Qwen2VLForConditionalGeneration(_qwen2_vl_config())
    return diffusers.EasyAnimatePipeline(
        vae=easyanimate_vae(), text_encoder=text_encoder, tokenizer=qwen_tokenizer(), transformer=network, scheduler=flow()
    )


def _qwen2_vl_config() -> Any:
    vision = {"depth": 1, "embed_dim": 32, "hidden_size": WIDTH, "num_heads": 2, "mlp_ratio": 1, "patch_size": 14}
    text = {
        "vocab_size": 640, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
    }  # fmt: skip
    return transformers.Qwen2VLConfig(text_config=text, vision_config=vision)


def anyflow() -> Any:
    """AnyFlow: any number of steps."""
    return diffusers.AnyFlowPipeline(
        **_umt5(),
        vae=wan_vae(),
        scheduler=diffusers.FlowMapEulerDiscreteScheduler(),
        transformer=_wan_network("AnyFlowTransformer3DModel"),
    )


def lucy() -> Any:
    """Lucy Edit: a film changed by an instruction."""
    return diffusers.LucyEditPipeline(
        **_umt5(),
        vae=wan_5b_vae(),
        scheduler=unipc(5.0),
        transformer=_wan_network(in_channels=2 * LATENT),
        expand_timesteps=True,
    )


MODELS: dict[str, Callable[[], Any]] = {
    maker.__name__.replace("_", "-"): maker
    for maker in (
        wan, wan_image, wan_ends, wan22, wan22_image, wan22_5b, wan_vace, wan_vace_modular, wan_animate, wan_modular,
        ltx, ltx_modular, ltx2,
        hunyuan, hunyuan_image,
        hunyuan15, hunyuan15_image, framepack, cogvideox, cogvideox_image, cogvideox15, cogvideox15_image, mochi,
        skyreels, skyreels_forcing, cosmos1, cosmos1_image, cosmos2_image, cosmos25, cosmos3, minimax_h3, helios,
        helios_modular, sana_video, sana_video_image, kandinsky5, kandinsky5_image, animatediff, svd, modelscope, allegro,
        latte,
        easyanimate, anyflow, lucy, animatediff_control, cosmos_transfer, ltx_upscaler, ltx2_upscaler,
    )
}  # fmt: skip
"""Makers of tiny models by name; each returns a pipeline."""
