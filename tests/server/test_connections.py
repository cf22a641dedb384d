"""Laws of connections: slow ones are closed, many do not keep others out, and a client that leaves is no error."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest.importorskip("uvicorn", reason="needs kinema[serve]")

import httpx
import uvicorn
from fastapi import FastAPI, Request

from kinema.server.api.handlers import add_error_handlers
from kinema.server.connections import BoundedProtocol


class Hasty(BoundedProtocol):
    head_s, body_grace_s, check_s, most = 0.3, 0.3, 0.05, 20


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = FastAPI()
    add_error_handlers(app)

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http=Hasty, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield int(listener.getsockname()[1])
        server.should_exit = True
        thread.join()


def is_closed(one: socket.socket, within_s: float = 5.0) -> bool:
    one.settimeout(within_s)
    try:
        return one.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", b"POST /size HTTP/1.1\r\nHost: x\r\nX-"])
def test_headers_that_do_not_come_end_the_connection(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(sent)
        assert is_closed(one)


def test_a_second_request_must_come_in_time_too(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
        one.settimeout(5)
        assert b"200 OK" in one.recv(4096)
        one.sendall(b"POST /si")
        assert is_closed(one)


def test_a_body_that_drips_ends_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
        assert is_closed(one)


def test_a_body_that_begins_fast_and_then_stops_ends_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n" + b"a" * 800)
        assert is_closed(one)


def test_a_large_body_that_flows_is_read(port: int) -> None:
    assert httpx.post(f"http://127.0.0.1:{port}/size", content=b"x" * 5_000_000).json() == 5_000_000


def test_half_open_connections_keep_nobody_out(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(3 * Hasty.most):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert httpx.post(f"http://127.0.0.1:{port}/size", content=b"abc", timeout=5).json() == 3


def test_a_client_that_leaves_is_no_error(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
    assert httpx.post(f"http://127.0.0.1:{port}/size", content=b"abc").json() == 3
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
