"""A model that is not ours in the arena: a diffusers pipeline, wrapped in one method, and the report it gets.

The pipeline here has random weights, so that it runs anywhere; put `LTXImageToVideoPipeline.from_pretrained(...)` in its place.
From a shell: PYTHONPATH=examples kinema arena run --quick --model arena_of_another_model:make
Needs pip install 'kinema[open-weights]'.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXImageToVideoPipeline,
    LTXVideoTransformer3DModel,
)

from kinema.evaluation.report import report
from kinema.evaluation.runner import Run, strips


class Wrapped:
    """What the arena asks of anyone: a name, and `predict`."""

    name = "ltx-untrained"

    def __init__(self, pipeline: LTXImageToVideoPipeline, width: int) -> None:
        self.pipeline, self.text = pipeline, torch.zeros(1, 8, width)

    def predict(self, context_frames, actions, text, horizon, seed):  # type: ignore[no-untyped-def]
        last = context_frames[-1] if len(context_frames) else np.full((64, 64, 3), 128, np.uint8)
        image = torch.from_numpy(last).permute(2, 0, 1)[None] / 255.0
        frames = 8 * -(-horizon // 8) + 1
        film = self.pipeline(
            image=image, height=64, width=64, num_frames=frames, num_inference_steps=2, guidance_scale=1.0, output_type="np",
            prompt_embeds=self.text, prompt_attention_mask=torch.ones(1, 8), generator=torch.Generator().manual_seed(seed),
        ).frames[0]  # fmt: skip
        return (film[1 : horizon + 1] * 255).round().astype(np.uint8)


def make() -> Wrapped:
    torch.manual_seed(0)
    blocks = {"block_out_channels": (16,) * 4, "decoder_block_out_channels": (16,) * 4, "latent_channels": 16}
    autoencoder = AutoencoderKLLTXVideo(**blocks, layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5)
    net = LTXVideoTransformer3DModel(in_channels=16, out_channels=16, num_attention_heads=2, attention_head_dim=16,
                                     cross_attention_dim=32, num_layers=2, caption_channels=16)  # fmt: skip
    pipeline = LTXImageToVideoPipeline(FlowMatchEulerDiscreteScheduler(), autoencoder, None, None, net)
    pipeline.set_progress_bar_config(disable=True)
    return Wrapped(pipeline, 16)


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
    run = Run(make(), out / "arena-ltx", "quick", ["uniform"])
    card = run.work()
    (out / "arena-ltx.html").write_text(report(card, strips(run, card)))
    print({key: card["tests"][0][key] for key in ("title", "verdict", "beside")})
