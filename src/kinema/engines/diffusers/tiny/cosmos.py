"""Tiny models of NVIDIA's Cosmos families. Their folders hold no guardrail: diffusers makes one of the package `cosmos_guardrail`
when it loads a folder. Their networks take no mask of padding, for which diffusers needs torchvision."""

from __future__ import annotations

from typing import Any

from kinema.engines.diffusers.tiny.packages import diffusers
from kinema.engines.diffusers.tiny.parts import HEADS, LATENT, WIDTH, cosmos_vae, flow, unipc, wan_5b_vae, wan_vae
from kinema.engines.diffusers.tiny.words import qwen_tokenizer, qwen_vl, t5_encoder, t5_tokenizer


class _NoGuardrail:
    """In place of the guardrail while a pipeline is made that is only saved."""


def _saved(kind: str, **components: Any) -> Any:
    """A pipeline to save, without a guardrail."""
    pipeline = getattr(diffusers, kind)(**components, safety_checker=_NoGuardrail())
    pipeline.register_modules(safety_checker=None)
    return pipeline


def _network(known: bool = True, **options: Any) -> Any:
    """A network; `known` adds the channel that says which frames are given."""
    return diffusers.CosmosTransformer3DModel(
        **HEADS, in_channels=LATENT + known, out_channels=LATENT, mlp_ratio=2.0, adaln_lora_dim=4, max_size=(8, 32, 32),
        concat_padding_mask=False, **{"text_embed_dim": WIDTH, **options},
    )  # fmt: skip


def _t5() -> dict[str, Any]:
    return {"tokenizer": t5_tokenizer(), "text_encoder": t5_encoder()}


def _cosmos1(kind: str, *, known: bool) -> Any:
    scheduler = diffusers.EDMEulerScheduler(
        sigma_min=0.002, sigma_max=80, sigma_data=0.5, sigma_schedule="karras", prediction_type="epsilon", rho=7.0,
        final_sigmas_type="sigma_min",
    )  # fmt: skip
    network = _network(known, extra_pos_embed_type="learnable", rope_scale=(2.0, 1.0, 1.0))
    return _saved(kind, **_t5(), transformer=network, vae=cosmos_vae(), scheduler=scheduler)


def cosmos1() -> Any:
    """Cosmos 1 from words."""
    return _cosmos1("CosmosTextToWorldPipeline", known=False)


def cosmos1_image() -> Any:
    """Cosmos 1 from a first picture."""
    return _cosmos1("CosmosVideoToWorldPipeline", known=True)


def cosmos2_image() -> Any:
    """Cosmos-Predict2 from a first picture."""
    network = _network(extra_pos_embed_type=None, rope_scale=(1.0, 3.0, 3.0))
    scheduler = flow(use_karras_sigmas=True)
    return _saved("Cosmos2VideoToWorldPipeline", **_t5(), transformer=network, vae=wan_vae(), scheduler=scheduler)


def cosmos25() -> Any:
    """Cosmos-Predict2.5: words, a first picture or the end of a film in one network."""
    network = _network(
        extra_pos_embed_type=None, rope_scale=(1.0, 3.0, 3.0), use_crossattn_projection=True,
        crossattn_proj_in_channels=2 * WIDTH, encoder_hidden_states_channels=WIDTH,
    )  # fmt: skip
    return _saved(
        "Cosmos2_5_PredictBasePipeline", text_encoder=qwen_vl(), tokenizer=qwen_tokenizer(), transformer=network,
        vae=wan_vae(), scheduler=unipc(5.0),
    )  # fmt: skip


def cosmos_transfer() -> Any:
    """Cosmos-Transfer2.5: steered by a drawing of a scene."""
    shape: dict[str, Any] = {
        "adaln_lora_dim": 4, "max_size": (8, 32, 32), "rope_scale": (1.0, 3.0, 3.0), "extra_pos_embed_type": None,
        "use_crossattn_projection": True, "crossattn_proj_in_channels": 2 * WIDTH, "encoder_hidden_states_channels": WIDTH,
        "text_embed_dim": WIDTH, "mlp_ratio": 2.0,
    }  # fmt: skip
    network = diffusers.CosmosTransformer3DModel(
        **{**HEADS, "num_layers": 4}, **shape, in_channels=LATENT + 1, out_channels=LATENT, concat_padding_mask=False,
        controlnet_block_every_n=2,
    )  # fmt: skip
    steering = diffusers.CosmosControlNetModel(
        n_controlnet_blocks=2, in_channels=LATENT + 2, latent_channels=LATENT + 2, model_channels=32, num_attention_heads=2,
        attention_head_dim=16, **shape,
    )  # fmt: skip
    return _saved(
        "Cosmos2_5_TransferPipeline", text_encoder=qwen_vl(), tokenizer=qwen_tokenizer(), transformer=network, vae=wan_vae(),
        scheduler=unipc(5.0), controlnet=steering,
    )  # fmt: skip


def cosmos3() -> Any:
    """Cosmos 3: words and pictures in one network."""
    network = diffusers.Cosmos3OmniTransformer(
        head_dim=16, hidden_size=32, intermediate_size=32, latent_channel=LATENT, latent_patch_size=2, num_attention_heads=2,
        num_hidden_layers=2, num_key_value_heads=1, patch_latent_dim=4 * LATENT, vocab_size=640,
        rope_scaling={"mrope_section": [2, 3, 3]}, dtype="float32",
    )  # fmt: skip
    return diffusers.Cosmos3OmniPipeline(
        transformer=network,
        text_tokenizer=qwen_tokenizer(),
        vae=wan_5b_vae(),
        scheduler=unipc(),
        enable_safety_checker=False,
    )
