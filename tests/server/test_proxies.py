"""Laws of a server behind a proxy: addresses and cookies below its path, and headers of trusted proxies only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kinema.errors import InputError
from kinema.server.app import SECURITY, create_app
from kinema.server.settings import Settings

SIGNED = {"origin": "https://films.example", "x-forwarded-proto": "https", "x-forwarded-host": "films.example"}


def make(tmp_path: Path, **settings: Any) -> tuple[FastAPI, str]:
    app = create_app(Settings(data=tmp_path / "data", **settings))
    return app, app.state.services.auth.first()


def ask(app: FastAPI, method: str, path: str, *, peer: str = "127.0.0.1", **more: Any) -> httpx.Response:
    """A request over a connection from an address."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.5:8000") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


@pytest.mark.parametrize("taken_off", [True, False])
def test_everything_is_below_the_root_path(tmp_path: Path, taken_off: bool) -> None:
    """Whether the proxy takes the path off or leaves it on."""
    app, key = make(tmp_path, root_path="/films/new")
    root = "" if taken_off else "/films/new"
    for path in ("/", "/docs", "/verify", "/css/base.css", "/healthz"):
        assert ask(app, "GET", root + path).status_code == 200, path
    page = ask(app, "GET", f"{root}/openapi.json").json()
    assert page["servers"] == [{"url": "/films/new"}] and "/v1/videos" in page["paths"]
    assert ask(app, "GET", f"{root}/v1/usage", headers={"authorization": f"Bearer {key}"}).status_code == 200
    cookie = ask(app, "POST", f"{root}/v1/session", json={"key": key}).headers["set-cookie"]
    assert "Path=/films/new/" in cookie and cookie.startswith("kinema_session_8000_films_new=")
    opened = ask(app, "GET", f"{root}/v1/session", headers={"cookie": cookie.partition(";")[0]})
    assert opened.json()["key"]["name"] == "first"
    ended = ask(app, "DELETE", f"{root}/v1/session", headers={"cookie": cookie.partition(";")[0]})
    assert "Path=/films/new/" in ended.headers["set-cookie"]


def test_the_root_path_alone_leads_to_the_studio(tmp_path: Path) -> None:
    answer = ask(make(tmp_path, root_path="/films")[0], "GET", "/films")
    assert answer.status_code == 308 and answer.headers["location"] == "/films/"


def test_a_live_world_is_reached_below_the_root_path(tmp_path: Path) -> None:
    app, key = make(tmp_path, root_path="/films")
    headers = {"authorization": f"Bearer {key}"}
    with TestClient(app, headers=headers) as client:
        for root in ("", "/films"):
            with client.websocket_connect(f"{root}/v1/worlds/world_{'0' * 24}/live") as live:
                assert "no world" in str(live.receive()), "the route answers"


def test_headers_of_a_trusted_proxy_count(tmp_path: Path) -> None:
    """The scheme makes the cookie secure and names it; the host is that of the page, so that its requests are not foreign."""
    app, key = make(tmp_path, trusted_proxies=["10.1.0.0/16"])
    answer = ask(app, "POST", "/v1/session", peer="10.1.2.3", json={"key": key}, headers=SIGNED)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("kinema_session_https=") and "Secure" in cookie


def test_headers_of_anybody_else_do_not_count(tmp_path: Path) -> None:
    app, key = make(tmp_path, trusted_proxies=["10.1.0.0/16"])
    for peer in ("10.2.0.1", "127.0.0.1", "::1", "unknown"):
        refused = ask(app, "POST", "/v1/session", peer=peer, json={"key": key}, headers=SIGNED)
        assert refused.status_code == 403 and refused.json()["error"]["code"] == "foreign_origin"
        plain = {name: value for name, value in SIGNED.items() if name != "origin"}
        cookie = ask(app, "POST", "/v1/session", peer=peer, json={"key": key}, headers=plain).headers["set-cookie"]
        assert cookie.startswith("kinema_session_8000=") and "Secure" not in cookie


def test_a_host_that_is_none_is_left_out(tmp_path: Path) -> None:
    app, key = make(tmp_path)
    headers = {"origin": "http://10.0.0.5:8000", "x-forwarded-host": "a b/../<script>"}
    assert ask(app, "POST", "/v1/session", json={"key": key}, headers=headers).status_code == 200
    headers = {"origin": "http://last.example", "x-forwarded-host": "forged.example, last.example"}
    assert ask(app, "POST", "/v1/session", json={"key": key}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root_path": "films"}, "root path 'films': expected a path such as /kinema"),
        ({"root_path": "/films/"}, "has no / at its end"),
        ({"root_path": "/v1"}, "does not begin with /v1"),
        ({"root_path": "/a/../b?c"}, "expected a path"),
        ({"trusted_proxies": ["proxy"]}, "trusted proxy 'proxy': expected an address or a network"),
        ({"cors_origins": ["example.com"]}, "origin 'example.com': expected one such as https://example.com"),
        ({"cors_origins": ["https://example.com/"]}, "without a path"),
    ],
)
def test_settings_that_say_nonsense_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(data=tmp_path, **settings)


def preflight(app: FastAPI, origin: str) -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    return ask(app, "OPTIONS", "/v1/videos", headers=headers)


def allowed(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-allow")}


def test_no_other_origin_may_call_by_default(tmp_path: Path) -> None:
    app, key = make(tmp_path)
    assert not allowed(preflight(app, "https://a.example"))
    answer = ask(app, "GET", "/v1/usage", headers={"origin": "https://a.example", "authorization": f"Bearer {key}"})
    assert not allowed(answer)


def test_named_origins_may_call_with_a_key(tmp_path: Path) -> None:
    app, key = make(tmp_path, cors_origins=["https://a.example", "http://b.example:81"])
    for origin in ("https://a.example", "http://b.example:81"):
        before = allowed(preflight(app, origin))
        assert before["access-control-allow-origin"] == origin and "POST" in before["access-control-allow-methods"]
        answer = ask(app, "GET", "/v1/usage", headers={"origin": origin, "authorization": f"Bearer {key}"})
        assert answer.status_code == 200 and allowed(answer) == {"access-control-allow-origin": origin}
    assert "access-control-allow-origin" not in allowed(preflight(app, "https://other.example"))
    refused = ask(app, "GET", "/v1/usage", headers={"origin": "https://a.example"})
    assert refused.status_code == 401 and allowed(refused), "the page can read why"


@pytest.mark.parametrize("origins", [["*"], ["https://a.example"]])
def test_no_origin_may_use_the_cookie(tmp_path: Path, origins: list[str]) -> None:
    app, key = make(tmp_path, cors_origins=origins)
    foreign = {"origin": "https://a.example"}
    answers = [preflight(app, "https://a.example"), ask(app, "GET", "/healthz", headers=foreign)]
    assert all("access-control-allow-origin" in allowed(answer) for answer in answers)
    assert not any("access-control-allow-credentials" in allowed(answer) for answer in answers)
    assert ask(app, "POST", "/v1/session", json={"key": key}, headers=foreign).status_code == 403


def test_the_page_of_the_api_comes_from_this_server(tmp_path: Path) -> None:
    """With the same headers as every page, so that nothing of another server could run in it; and it says how keys are sent."""
    app, _ = make(tmp_path)
    page = ask(app, "GET", "/docs")
    assert {name: page.headers[name] for name in SECURITY} == SECURITY
    assert "http" not in page.text.replace("http-equiv", "")
    for part in ("vendor/swagger-ui-bundle.js", "vendor/swagger-ui.css", "docs.js", "openapi.json", "icon.svg"):
        assert part in page.text and ask(app, "GET", f"/{part}").status_code == 200
    assert ask(app, "GET", "/redoc").status_code == 404
    schema = ask(app, "GET", "/openapi.json").json()
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
