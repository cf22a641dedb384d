"""From sight to slots: with a perfect eye the rough state is the true one, whatever moves, hides or comes back."""

from __future__ import annotations

import numpy as np
import torch

from kinema.models.denoiser import cell_centers
from kinema.models.objects.detection import NEAR, detection_dim
from kinema.models.objects.tracking import LINK_UNITS, Detection, detect_pictures, initial_state, track
from kinema.scene.scene import KINDS
from kinema.scene.schema import PLAYGROUND

PLACES, UNITS = 8, 1.25
CENTERS = cell_centers(PLACES, PLACES, UNITS, torch.device("cpu"))
Actor = tuple[int, int, list[tuple[float, float] | None]]


def eye(actors: list[Actor], frames: int, *, noise: float = 0.0) -> torch.Tensor:
    """What a good eye says of actors (kind, color, place in every picture or None)."""
    rng = np.random.default_rng(0)
    answers = torch.full((frames, PLACES**2, detection_dim(PLAYGROUND)), -6.0)
    for t in range(frames):
        here = [(kind, color, places[t]) for kind, color, places in actors if places[t] is not None]
        offsets = torch.stack([(torch.tensor(place) - CENTERS.flip(-1)) / UNITS for _, _, place in here])
        nearest, which = offsets.abs().amax(-1).min(0)
        for i in (nearest <= NEAR).nonzero()[:, 0].tolist():
            kind, color, _ = here[which[i]]
            answers[t, i, 0] = 4.0
            answers[t, i, 1:3] = offsets[which[i], i] + noise * torch.from_numpy(rng.normal(size=2))
            answers[t, i, 3 + kind] = answers[t, i, 3 + len(KINDS) + color] = 4.0
    return answers.reshape(1, frames, PLACES, PLACES, detection_dim(PLAYGROUND))


def state_of(answers: torch.Tensor, camera: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return initial_state(detect_pictures(answers, CENTERS, UNITS, PLAYGROUND), camera, 4, PLAYGROUND)


def read(actors: list[Actor], frames: int, **options: float) -> tuple[torch.Tensor, torch.Tensor]:
    state, known = state_of(eye(actors, frames, **options), torch.zeros(1, frames, 3))
    return state[0], known[0]


def places(state: torch.Tensor) -> torch.Tensor:
    return 5.0 + 2.5 * state[..., PLAYGROUND.slice("position")]


def test_what_was_out_of_sight_for_longer_may_come_back_farther_away() -> None:
    """Up to LINK_UNITS from one picture to the next, and half of it more for each picture without a detection."""
    nobody: list[Detection] = []

    def seen(x: float) -> list[Detection]:
        certain = np.log(np.full(3, 0.1)), np.log(np.full(3, 0.1))
        return [Detection(x=x, y=5.0, kind=certain[0], color=certain[1])]

    def tracks(pictures: list[list[Detection]]) -> int:
        return len(track(pictures))

    far = LINK_UNITS * 1.9
    assert tracks([seen(1.0), nobody, nobody, seen(1.0 + far)]) == 1
    assert tracks([seen(1.0), nobody, seen(1.0 + far)]) == tracks([seen(1.0), seen(1.0 + far)]) == 2
    assert tracks([seen(1.0), seen(1.0 + 0.9 * LINK_UNITS)]) == 1


def test_two_that_pass_each_other_keep_their_slots_and_places() -> None:
    frames = 12
    right = [(1.0 + 0.7 * t, 3.0) for t in range(frames)]
    left = [(9.0 - 0.7 * t, 5.0) for t in range(frames)]
    state, known = read([(6, 2, left), (1, 4, right)], frames, noise=0.05)
    assert (state[:, :2, 0] == 1).all() and (state[:, 2:, 0] == -1).all()
    kinds = state[..., PLAYGROUND.slice("kind")].argmax(-1)
    assert (kinds[:, 0] == 1).all() and (kinds[:, 1] == 6).all(), "slots are in the order of kinds"
    assert (state[..., PLAYGROUND.slice("color")].argmax(-1)[:, :2] == torch.tensor([4, 2])).all()
    assert known[:, :2, PLAYGROUND.slice("position")].all()
    assert (places(state)[:, 0] - torch.tensor(right)).norm(dim=-1).max() < 0.1
    assert (places(state)[:, 1] - torch.tensor(left)).norm(dim=-1).max() < 0.1


def test_what_was_hidden_comes_back_into_its_slot_and_its_place_is_open_meanwhile() -> None:
    frames = 14
    places_of_one = [(1.0 + 0.6 * t, 2.0) if not 4 <= t < 10 else None for t in range(frames)]
    state, known = read([(0, 0, places_of_one), (3, 3, [(5.0, 8.0)] * frames)], frames)
    assert (state[:, 0, 0] == 1).all() and (state[:, 2, 0] == -1).all()
    shown = known[:, 0, PLAYGROUND.slice("position")].all(-1)
    assert shown.tolist() == [place is not None for place in places_of_one]


def test_one_slip_of_the_eye_changes_nobody() -> None:
    frames = 10
    actors: list[Actor] = [(2, 5, [(4.0, 4.0)] * frames)]
    answers = eye(actors, frames)
    answers[0, 3, ..., 3:11] = answers[0, 3, ..., 3:11].roll(1, -1)
    answers[0, 6, 0, 0] = eye([(7, 7, [(0.7, 9.3)])], 1)[0, 0, 0, 0]
    answers[0, 6, 0, 1] = eye([(7, 7, [(0.7, 9.3)])], 1)[0, 0, 0, 1]
    state, _ = state_of(answers, torch.zeros(1, frames, 3))
    assert (state[0, :, 0, PLAYGROUND.slice("kind")].argmax(-1) == 2).all()
    assert (state[0, :, 1:, 0] == -1).all()


def test_a_camera_that_is_known_is_taken_out() -> None:
    camera = torch.tensor([0.8, 0.0, 2.0]).expand(1, 3, 3)
    state, _ = state_of(eye([(0, 0, [(3.0, 7.0)] * 3)], 3), camera)
    assert torch.allclose(places(state)[0, :, 0], torch.tensor([6.0, 6.0]), atol=1e-4)


def test_an_empty_picture_holds_nobody() -> None:
    answers = torch.full((1, 4, PLACES, PLACES, detection_dim(PLAYGROUND)), -6.0)
    state, known = state_of(answers, torch.zeros(1, 4, 3))
    assert (state[..., 0] == -1).all() and not known[..., PLAYGROUND.slice("position")].any()
