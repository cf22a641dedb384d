"""Checks of repeated requests, of requests at the same moment, of clients that leave, and of limits."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

import httpx

from kinema.client.conformance.answers import error_fault, ids_of, object_of, outline
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import OTHER_PROMPT, PROMPT, ServerUnderTest

UPLOAD_BYTES, SENT_BYTES = 400_000, 60_000
ORPHAN_S = 1.0
"""How long after a broken upload its film is looked for."""


def _repeat(server: ServerUnderTest, prompts: tuple[str, str]) -> tuple[httpx.Response, httpx.Response]:
    """Two requests with the same Idempotency-Key."""
    server.film()
    headers = {"idempotency-key": f"conformance-{time.time_ns()}"}
    send = server.post_json if server.form == "json" else server.post_form
    first, second = (send(server.fields(prompt), headers=headers) for prompt in prompts)
    for answer in (first, second):
        if answer.is_success:
            server.delete(str(object_of(answer).get("id")))
    return first, second


@add_check(
    "load.idempotency", "optional", "A client that tries again after a lost answer names the request by Idempotency-Key."
)
def _idempotency(server: ServerUnderTest) -> str:
    first, second = _repeat(server, (PROMPT, PROMPT))
    ids = [object_of(answer).get("id") for answer in (first, second)]
    if ids[0] != ids[1]:
        raise NotOffered("the header is ignored: two films")
    return one_line(ids[0])


@add_check("load.idempotency_other", "optional", "A key that was used for another request must not hand out the other film.")
def _idempotency_other(server: ServerUnderTest) -> str:
    first, second = _repeat(server, (PROMPT, OTHER_PROMPT))
    if not second.is_success:
        require(second.status_code < 500, outline(second), "a status from 400 to 499")
        return outline(second)
    require(object_of(first).get("id") != object_of(second).get("id"), "the first film", "another film, or an error")
    return "another film"


@add_check("load.distinct_ids", "required", "Requests at the same moment are different films.")
def _distinct_ids(server: ServerUnderTest) -> str:
    films = server.crowd(owner=True)
    ids = [film.id for film in films]
    require(len(set(ids)) == len(ids), one_line(ids), f"{len(ids)} different ids")
    return f"{len(ids)} ids"


@add_check("load.none_lost", "required", "Every request that was accepted ends, also where several come at the same moment.")
def _none_lost(server: ServerUnderTest) -> str:
    films = server.crowd()
    for film in films:
        status = film.last.get("status")
        require(status == "completed", f"{status}: {one_line(film.last.get('error'))}", "completed")
    return f"{len(films)} completed, the last after {max(film.took_s for film in films):.1f} s"


@add_check(
    "load.lost_upload",
    "required",
    "A client that leaves in the middle of an upload leaves no film that nobody knows of.",
)
def _lost_upload(server: ServerUnderTest) -> str:
    server.film()
    before = set(ids_of(server.page(limit=100)["data"]))
    _leave_in_upload(server)
    end = time.monotonic() + ORPHAN_S
    while time.monotonic() < end:
        time.sleep(0.25)
        orphans = [one for one in ids_of(server.page(limit=100, order="desc")["data"])[:20] if one not in before]
        for id in orphans:
            server.made.setdefault(id, False)
        require(not orphans, f"a film {one_line(orphans[0] if orphans else '')}", "none, as its request never arrived whole")
    return f"no film after {SENT_BYTES} of {UPLOAD_BYTES} bytes"


def _leave_in_upload(server: ServerUnderTest) -> None:
    """Send the beginning of a form, with all its texts and a part of its file, and close the connection."""
    url = httpx.URL(server.options.base_url + "/videos")
    boundary = "conformance-boundary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
             for name, value in server.fields().items()]  # fmt: skip
    head = "".join(parts) + (
        f'--{boundary}\r\nContent-Disposition: form-data; name="input_reference"; filename="first.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    headers = {
        "Host": url.netloc.decode(), "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(UPLOAD_BYTES), **server.headers,
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    try:
        with contextlib.ExitStack() as stack:
            port = url.port or (443 if url.scheme == "https" else 80)
            connection: socket.socket = stack.enter_context(socket.create_connection((url.host, port), 10.0))
            if url.scheme == "https":
                connection = stack.enter_context(
                    ssl.create_default_context().wrap_socket(connection, server_hostname=url.host)
                )
            connection.sendall(f"POST {url.raw_path.decode()} HTTP/1.1\r\n{lines}\r\n{head}".encode())
            with contextlib.suppress(OSError):  # a server may refuse it before it is whole
                connection.sendall(SENT_BYTES * b"x")
            time.sleep(0.1)
    except OSError as error:
        raise CheckFailed(f"no connection: {error}", "a connection") from None


@add_check(
    "load.retry_after",
    "optional",
    "After 429 the client waits as long as Retry-After says, and tries again.",
)
def _retry_after(server: ServerUnderTest) -> str:
    limited = [answer for answer in server.answers if answer.status_code == 429]
    if not limited:
        raise CheckSkipped("no request of the run was one too many")
    for answer in limited:
        require(not error_fault(answer), f"{error_fault(answer)}: {outline(answer)}", "an error object")
        named = answer.headers.get("retry-after", answer.headers.get("retry-after-ms"))
        if named is None:
            raise NotOffered("429 without Retry-After")
    return f"{len(limited)} times, Retry-After {limited[0].headers.get('retry-after')}"
