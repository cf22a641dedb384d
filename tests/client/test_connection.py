"""Responses of a server as the errors that the same mistakes raise locally."""

from __future__ import annotations

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
