"""Keys: what is revoked is refused at once, whatever a process remembers of it."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from tests.server.conftest import Harness

from kinema.errors import ApiError


def test_a_revoked_key_is_refused_at_once(harness: Harness) -> None:
    text, row = harness.auth.make("short-lived")
    assert harness.auth.caller(text).key_id == row.id
    assert harness.auth.revoke(row.id).revoked_at is not None
    with pytest.raises(ApiError) as refused:
        harness.auth.caller(text)
    assert refused.value.status == 401
    with pytest.raises(ApiError) as refused:
        harness.auth.check_key(row.id)
    assert refused.value.status == 401
