"""Laws of canvases that hold several samples."""

from __future__ import annotations

import torch

from kinema.canvas.canvas import TextCondition, stack


def text(tokens: int, frames: int = 3) -> TextCondition:
    """Token n of a text is n + 1 everywhere; frame t reads token n if t >= n."""
    states = torch.arange(1.0, tokens + 1)[None, :, None].expand(1, tokens, 5)
    reads = torch.arange(frames)[:, None] >= torch.arange(tokens)
    return TextCondition(states=states, reads=reads[None])


def test_texts_of_a_batch_keep_their_tokens_and_what_fills_them_up_is_not_read() -> None:
    short, long = text(2), text(4)
    batch = stack([short, None, long], torch.zeros(3, 3))
    assert batch is not None and batch.states.shape == (3, 4, 5) and batch.reads.shape == (3, 3, 4)
    assert torch.equal(batch.states[0, :2], short.states[0]) and torch.equal(batch.reads[0, :, :2], short.reads[0])
    assert torch.equal(batch.states[2], long.states[0]) and torch.equal(batch.reads[2], long.reads[0])
    assert not batch.reads[0, :, 2:].any() and not batch.reads[1].any()
    assert stack([None, None], torch.zeros(2, 3)) is None
