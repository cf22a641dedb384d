"""What pictures look like by numbers alone: python -m benchmarks.priors DATA ... [--minutes N] [--write]

Of each recording with entities a prior is found as `kinema train world` finds it (`kinema.training.priors`), with the autoencoder
that is shipped. Then pictures of held-back episodes are made by their true numbers and actions alone: error on the pixels that
differ from the usual picture, the mean of all, in levels of 255, and that of the usual picture there. Nothing of the past is seen,
so what numbers do not say, such as which bricks are left, is as it is on average.

--write puts the rows into docs/measurements/priors.md, where rows of other recordings stay, and a sheet of each into
docs/pictures/.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import torch
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT
from benchmarks.rules import arguments, say, show_reading, written
from numpy.typing import NDArray
from PIL import Image

from kinema.autoencoder import load_autoencoder, to_uint8
from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError
from kinema.inference.dit_rollout import WANTED, wanted_numbers
from kinema.media.contact_sheet import contact_sheet
from kinema.models.hub import weights_folder
from kinema.models.priors import PicturePrior
from kinema.training.priors import find_prior
from kinema.training.recordings import Recordings
from kinema.training.world_lesson import WorldRecipe
from kinema.training.world_report import changed_error
from kinema.training.world_stages import config_for, word_of

FRAMES, SHOWN = 256, 8
"""Of held-back episodes, evenly spread; and how many of them a sheet shows."""
COLUMNS = (
    "recording", "date", "frames", "minutes for the prior", "error by numbers alone", "of the usual picture", "as a share",
    "useful", "pictures",
)  # fmt: skip
PAGE = ROOT / "docs" / "measurements" / "priors.md"


def row_of(folder: Path, minutes: float, seed: int) -> tuple[list[str], Image.Image]:
    """A row of the table, and a sheet of true pictures, those by numbers alone, and the usual one."""
    data, recipe = Dataset.open(folder).fitted(), WorldRecipe()
    recordings = Recordings(data, load_autoencoder(weights_folder() / recipe.autoencoder), show_reading)
    network = config_for(data, recordings, recipe, "priors").network
    if not network.prior:
        raise InputError(f"{folder} has no entities; record one whose environment tells them")
    seconds, _ = recipe.found_length(recipe.prior_share, minutes, None)
    prior = PicturePrior(network)
    weights = find_prior(recordings, network, spread=recipe.spread, seconds=seconds, steps=None, seed=seed, show=say)
    prior.load_state_dict(weights)
    held = recordings.episodes[len(recordings.episodes) - recordings.num_held_back :]
    if not held:
        raise InputError(f"{folder} has too few episodes to hold some back; record more")
    video, numbers = (torch.cat([one[name][1:] for one in held]).float() for name in ("video", "sensors"))
    action = torch.cat([one["action"][:-1] for one in held]).float()
    at = torch.linspace(0, len(video) - 1, min(FRAMES, len(video))).long()
    yes = torch.ones(len(at))
    given = {WANTED: wanted_numbers(numbers[at][:, recordings.entity_columns], yes, 0 * yes), "action": action[at]}
    latents, usual = video[at], prior.get_buffer("usual").expand(len(at), -1, -1, -1)
    with torch.no_grad():
        beside = prior.at(prior.reads(given), torch.arange(usual[0, 0].numel()).expand(len(at), -1))
        made = usual + (prior.get_buffer("unit") * beside).transpose(1, 2).reshape(usual.shape)
    truth, painted, mean = (_pictures(recordings, x) for x in (latents, made, usual))
    error, still = (changed_error(x, truth, mean) for x in (painted, mean))
    name = f"[{word_of(data)} ({folder.name})](../pictures/prior-{folder.name}.jpg)"
    row = [
        name, str(date.today()), f"{data.total_frames:,}", f"{seconds / 60:.1f}",
        f"{error:.1f}", f"{still:.1f}", f"{error / still:.2f}", "yes" if weights["useful"] else "no", str(len(at)),
    ]  # fmt: skip
    sheet = contact_sheet(
        [truth, painted, mean], captions=["recorded", "by numbers alone", "the usual picture"], columns=SHOWN, scale=1
    )
    return row, sheet


def _pictures(recordings: Recordings, latents: torch.Tensor) -> NDArray[np.uint8]:
    """uint8 [N, H, W, 3] of latents [N, C, h, w]."""
    parts = [to_uint8(recordings.autoencoder.decode(part[None]))[0] for part in torch.split(latents, 64)]
    return np.concatenate(parts)


def main() -> int:
    given = arguments(str(__doc__), "prior")
    torch.set_num_threads(1)
    rows = list[list[str]]()
    for folder in given.data:
        row, sheet = row_of(folder, given.minutes, given.seed)
        rows.append(row)
        print(" | ".join(row))
        if given.write:
            sheet.save(ROOT / "docs" / "pictures" / f"prior-{folder.name}.jpg", quality=80)
    if given.write:
        about = "Means over pictures of held-back episodes, error on the pixels that differ from the usual picture"
        PAGE.write_text(written(PAGE, "Pictures by numbers alone", about, COLUMNS, rows))
    return 0


if __name__ == "__main__":
    run_benchmark(main)
