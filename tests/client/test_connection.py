"""Responses of a server as the errors that the same mistakes raise locally."""

from __future__ import annotations

import pickle

import pytest

from kinema.client.connection import error_of
from kinema.errors import ApiError, InputError, KinemaError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InputError),
        (404, InputError),
        (413, InputError),
        (422, InputError),
        (401, ApiError),
        (429, ApiError),
        (500, ApiError),
    ],
)
def test_what_the_caller_can_mend_is_an_input_error(status: int, kind: type[KinemaError]) -> None:
    error = error_of(status, {"message": "no", "code": "x"})
    assert type(error) is kind and "no" in str(error)


def test_errors_of_a_server_go_from_process_to_process() -> None:
    error = ApiError(429, "wait", param="model", code="busy", headers={"retry-after": "3"})
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ApiError and str(copy) == "wait" and vars(copy) == vars(error)
