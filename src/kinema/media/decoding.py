"""Decoding: the formats that are opened, the frames of a film's stream, and how each is shown: upright, on white, at a size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.media.write import CONVERSION
from kinema.types import Frames

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,ogg,flv,asf,m4v,h264,hevc,ivf,y4m,dv,wav,mp3,flac"
DECODER_BYTES = 96 << 20
"""Decoder threads hold a frame or more each; there are as many threads as frames of so many bytes, and of cores."""


def decoder_threads(width: int, height: int) -> int:
    """With how many threads a film is decoded."""
    return max(min(os.cpu_count() or 1, DECODER_BYTES // (3 * max(width * height, 1))), 1)


def decoded_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream; with the alpha of WebM, which FFmpeg's own decoders leave out."""
    import av

    decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if decoder is None or stream.metadata.get("alpha_mode") != "1":
        yield from container.decode(stream)
        return
    context: Any = av.CodecContext.create(decoder, "r")
    for packet in container.demux(stream):
        yield from context.decode(packet)


class Orientation:
    """The display matrices of the frames of one film. Reading `frame.side_data` makes PyAV's frame and its side data refer to each
    other, so that the frame's surface (12 MB in 4K) stays until Python's garbage collector runs, a hundred frames later. So the
    matrix is read of the first frame, and again only where the angle differs."""

    def __init__(self) -> None:
        self._angle: int | None = None
        self._matrix: NDArray[np.int32] | None = None

    def of(self, frame: Any) -> NDArray[np.int32] | None:
        """The matrix, 3 x 3 numbers in a row; None if the frame is shown as it is stored."""
        if frame.rotation != self._angle:
            stored = frame.side_data.get("DISPLAYMATRIX")
            self._angle = frame.rotation
            self._matrix = None if stored is None else np.frombuffer(bytes(stored), np.int32)
        return self._matrix


def upright_pixels(frame: Any, size: tuple[int, int], matrix: NDArray[np.int32] | None) -> Frames:
    """uint8 [H, W, 3] of a decoded frame at a size (width, height): turned and mirrored as a display matrix says, on white."""
    if any(part.is_alpha for part in frame.format.components):
        clear = frame.reformat(*size, "rgba", interpolation=CONVERSION, threads=1).to_ndarray().astype(np.uint16)
        alpha = clear[..., 3:]
        pixels = ((clear[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        pixels = frame.reformat(*size, "rgb24", interpolation=CONVERSION, threads=1).to_ndarray()
    return np.ascontiguousarray(pixels if matrix is None else turned(pixels, matrix))


def turned(pixels: Frames, matrix: NDArray[np.int32]) -> Frames:
    """A picture as a display matrix [a, b, u, c, d, v, x, y, w] shows it: a point (x, y) at (a x + c y, b x + d y). Only quarter
    turns and mirroring are done."""
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
