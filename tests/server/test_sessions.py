"""Laws of sessions: each ends by itself, the oldest ends where there would be too many, and nobody ends another's."""

from __future__ import annotations

import pytest
from tests.server.conftest import Harness

from kinema.errors import ApiError


def test_a_session_ends_by_itself(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    key = harness.auth.make("somebody")[0]
    going, caller = harness.auth.sign_in(key, "a browser")
    monkeypatch.setattr("kinema.server.auth.SESSION_S", -1.0)
    ended, _ = harness.auth.sign_in(key, "a browser")
    assert harness.auth.signed_in(going) == caller
    with pytest.raises(ApiError, match="session has ended") as refused:
        harness.auth.signed_in(ended)
    assert refused.value.status == 401 and len(harness.auth.sessions(caller.key_id)) == 1


def test_the_oldest_session_ends_where_there_would_be_too_many(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.server.auth.MOST_SESSIONS", 2)
    key = harness.auth.make("somebody")[0]
    first, *later = (harness.auth.sign_in(key, f"browser {i}")[0] for i in range(3))
    with pytest.raises(ApiError, match="session has ended"):
        harness.auth.signed_in(first)
    for text in later:
        assert harness.auth.signed_in(text).name == "somebody"


def test_nobody_ends_the_session_of_another_key(harness: Harness) -> None:
    key = harness.auth.make("somebody")[0]
    text, caller = harness.auth.sign_in(key, "a browser")
    (session,) = harness.auth.sessions(caller.key_id)
    with pytest.raises(ApiError, match="no session") as refused:
        harness.auth.end_session(session.id, harness.key)
    assert refused.value.status == 404 and harness.auth.signed_in(text) == caller
    harness.auth.end_session(session.id, None)
    with pytest.raises(ApiError, match="session has ended"):
        harness.auth.signed_in(text)
