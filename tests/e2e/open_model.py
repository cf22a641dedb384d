"""A tiny open model of the Wan family in a folder, with random weights: it films noise, in a moment."""

from __future__ import annotations

from pathlib import Path


def save_tiny_wan(folder: Path) -> None:
    """Write the folder as `save_pretrained` does. Needs diffusers and transformers."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "lighthouse": 4}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        pipeline = WanPipeline(
            tokenizer=PreTrainedTokenizerFast(
                tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
            ),
            text_encoder=UMT5EncoderModel(UMT5Config(vocab_size=300, d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=2)),
            vae=AutoencoderKLWan(
                base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
            ),
            scheduler=UniPCMultistepScheduler(
                flow_shift=3.0, prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000
            ),
            transformer=WanTransformer3DModel(
                patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16,
                text_dim=32, freq_dim=256, ffn_dim=32, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
                rope_max_seq_len=32,
            ),
        )  # fmt: skip
        pipeline.save_pretrained(folder)
