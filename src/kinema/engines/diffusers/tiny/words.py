"""Tokenizers made in code, and the smallest text encoders of each kind."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE

from kinema.engines.diffusers.tiny.packages import transformers

WIDTH = 32
TEXT = """You are a helpful assistant. Describe the video by detailing the following aspects: 1. The main content and theme of the
video. 2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects. 3. Actions, events,
behaviors
temporal relationships, physical movement changes of the objects. 4. background environment, light,
style and atmosphere. 5. camera
angles, movements,
and transitions used in the video. You are a promt engineer. Your task is to create highly detailed and effective
prompts. Given a user prompt, generate an enhanced prompt. A red ball rolls to a blue box. A robot waves at the sea,
slowly. """
CHARACTERS = sorted({*TEXT, *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"-_()<>|/\n"} - {" "})
CHAT = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] ==
'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def _pairs(specials: list[str], size: int = 640) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of byte pairs, learned from TEXT."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def t5_tokenizer() -> Any:
    """Single characters."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -2.0), *((c, -3.0) for c in CHARACTERS)]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def clip_tokenizer() -> Any:
    """Single characters, each alone and at the end of a word."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[], model_max_length=77)


def qwen_tokenizer() -> Any:
    """Byte pairs, with the marks of a chat."""
    marks = [
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>",
    ]  # fmt: skip
    vocabulary, merges = _pairs(marks)
    made = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, model_max_length=4096, chat_template=CHAT)
    made.add_special_tokens({"extra_special_tokens": marks[1:]})
    return made


def llama_tokenizer() -> Any:
    """Byte pairs, with the marks of a chat and one for a picture."""
    marks = [
        "<unk>", "<s>", "</s>", "<pad>", "<image>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
        "<|begin_of_text|>",
    ]  # fmt: skip
    vocabulary, merges = _pairs(marks)
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=256,
    )
    made.add_special_tokens({"extra_special_tokens": marks[4:]})
    return made


def gemma_tokenizer() -> Any:
    """Byte pairs."""
    vocabulary, merges = _pairs(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"])
    return transformers.GemmaTokenizer(vocab=vocabulary, merges=merges, model_max_length=1024)


def t5_encoder(vocabulary: int = 128, *, umt5: bool = False) -> Any:
    """One layer of T5 or UMT5."""
    kind = "UMT5" if umt5 else "T5"
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=vocabulary, d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=4, dropout_rate=0.0
    )
    return getattr(transformers, f"{kind}EncoderModel")(config)


def clip_text_encoder() -> Any:
    """Two layers of CLIP's text half."""
    last = 513
    config = transformers.CLIPTextConfig(
        vocab_size=last + 1, hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=2, num_attention_heads=4,
        projection_dim=WIDTH, bos_token_id=last - 1, eos_token_id=last, pad_token_id=last,
    )  # fmt: skip
    return transformers.CLIPTextModel(config)


_DECODER = {
    "vocab_size": 640, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}  # fmt: skip


def llama_config(layers: int = 3) -> Any:
    """Of a small Llama."""
    return transformers.LlamaConfig(**_DECODER, num_hidden_layers=layers, pad_token_id=3)


def llama() -> Any:
    """Three layers of Llama, of which the encoders take the first."""
    return transformers.LlamaModel(llama_config())


def llava() -> Any:
    """A small Llama that also reads pictures."""
    vision = transformers.CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, image_size=336, patch_size=14
    )
    return transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(
            vision_config=vision, text_config=llama_config(), image_token_index=4, pad_token_id=3, vision_feature_layer=-1
        )
    )


_QWEN = dict(**_DECODER, rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6})


def qwen_text() -> Any:
    """Three layers of Qwen2.5-VL, the text half."""
    return transformers.Qwen2_5_VLTextModel(transformers.Qwen2_5_VLTextConfig(**_QWEN, num_hidden_layers=3))


def qwen_vl(layers: int = 2) -> Any:
    """Qwen2.5-VL with the smallest halves."""
    vision = {
        "depth": 1, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_heads": 4, "out_hidden_size": WIDTH,
        "fullatt_block_indexes": [0],
        "patch_size": 14, "window_size": 112, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    config = transformers.Qwen2_5_VLConfig(
        text_config={**_QWEN, "num_hidden_layers": layers}, vision_config=vision, vision_start_token_id=3,
        vision_end_token_id=4, image_token_id=5, video_token_id=6,
    )  # fmt: skip
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def qwen3_vl(layers: int) -> Any:
    """Qwen3-VL with so many narrow layers of text, and one for pictures."""
    vision = {
        "depth": 1, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_heads": 2, "out_hidden_size": WIDTH, "patch_size": 16,
        "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
    }  # fmt: skip
    text = {**_QWEN, "head_dim": 8, "num_hidden_layers": layers}
    config = transformers.Qwen3VLConfig(
        text_config=text, vision_config=vision, vision_start_token_id=3, vision_end_token_id=4, image_token_id=5,
        video_token_id=6,
    )  # fmt: skip
    return transformers.Qwen3VLForConditionalGeneration(config)


def gemma2() -> Any:
    """One layer of Gemma 2."""
    return transformers.Gemma2Model(transformers.Gemma2Config(**_DECODER, head_dim=8, num_hidden_layers=1))


def gemma3() -> Any:
    """Two layers of Gemma 3, with its half for pictures."""
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "image_size": 28,
        "patch_size": 14,
    }
    text = {**_DECODER, "head_dim": 8, "num_hidden_layers": 2}
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=4,
        image_token_index=5,
        boi_token_index=6,
        eoi_token_index=7,
    )
    return transformers.Gemma3ForConditionalGeneration(config)
