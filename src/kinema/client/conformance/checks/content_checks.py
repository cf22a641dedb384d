"""Checks of downloads: the film itself, parts of it, pictures of it, and what comes before it is completed."""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path

import httpx
from PIL import Image

from kinema.client.conformance.answers import LIVE_STATUSES, NO_ROUTE, number_of, outline, pixels_of, refused
from kinema.client.conformance.check import CheckFailed, CheckSkipped, NotOffered, add_check, one_line, require
from kinema.client.conformance.target import UNKNOWN_ID, ServerUnderTest
from kinema.errors import KinemaError
from kinema.media import Clip

CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
MOST_TRIES = 3


def _clip(server: ServerUnderTest, *, owner: bool = False) -> Clip:
    """The film, decoded."""

    def decode() -> Clip:
        data = server.content(owner=True).content
        if data[4:8] != b"ftyp":
            raise CheckFailed(f"{len(data)} bytes that begin with {data[:12]!r}", "an MP4 file")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            path.write_bytes(data)
            try:
                return Clip.open(path)
            except KinemaError as error:
                raise CheckFailed(
                    f"{len(data)} bytes: {one_line(str(error).replace(str(path), 'the film'))}", "an MP4 that decodes"
                ) from None

    return server.share("film that decodes", decode, owner=owner)


@add_check("content.mp4", "required", "`download_content` writes the bytes into a file, which players must be able to show.")
def _mp4(server: ServerUnderTest) -> str:
    clip = _clip(server, owner=True)
    return f"{len(server.content().content)} bytes, {clip.num_frames} frames of {clip.size}"


@add_check("content.type", "required", "Browsers and proxies go by the content-type; the original service sends video/mp4.")
def _type(server: ServerUnderTest) -> str:
    kind = server.content().headers.get("content-type", "")
    require(kind.partition(";")[0].strip() == "video/mp4", one_line(kind), "video/mp4")
    return str(kind)


@add_check("content.length", "required", "Without the length of the body, a download that broke off looks whole.")
def _length(server: ServerUnderTest) -> str:
    answer = server.content()
    length = answer.headers.get("content-length")
    if length is None and "chunked" in answer.headers.get("transfer-encoding", ""):
        return "in chunks, whose end is marked"
    require(
        length == str(len(answer.content)), f"content-length {length} and {len(answer.content)} bytes", "the same number"
    )
    return str(length)


@add_check("content.size", "required", "The film has the size that the video object names.")
def _size(server: ServerUnderTest) -> str:
    clip, size = _clip(server), server.film().last.get("size")
    for came, wanted in zip(pixels_of(clip.size), pixels_of(size), strict=True):
        require(abs(came - wanted) <= 16, clip.size, f"{size}, up to 16 pixels more or less")
    return clip.size


@add_check("content.duration", "required", "The film lasts as long as the video object says.")
def _duration(server: ServerUnderTest) -> str:
    clip, wanted = _clip(server), number_of(server.film().last.get("seconds"))
    near = abs(clip.duration_s - wanted) <= max(0.15 * wanted, 0.25)
    require(near, f"{clip.duration_s:.2f} s", f"about {wanted:g} s")
    return f"{clip.duration_s:.2f} s"


def _range(server: ServerUnderTest, text: str) -> httpx.Response:
    return server.get(server.film().id, "/content", headers={"range": f"bytes={text}"})


@add_check("content.range", "optional", "Players seek, and downloads go on after a break, by the header Range.")
def _ranges(server: ServerUnderTest) -> str:
    whole = server.content().content
    for text, part in (("10-19", whole[10:20]), ("100-", whole[100:]), ("-7", whole[-7:])):
        answer = _range(server, text)
        if answer.status_code == 200 and answer.content == whole:
            raise NotOffered("the whole film comes")
        require(answer.status_code == 206, f"bytes={text}: {outline(answer)}", "206, or 200 with the whole film")
        named = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        start = len(whole) - len(part) if text[0] == "-" else int(text.partition("-")[0])
        fits = named is not None and (int(named[1]), int(named[2])) == (start, start + len(part) - 1)
        require(
            fits,
            f"bytes={text}: content-range {answer.headers.get('content-range')}",
            f"bytes {start}-{start + len(part) - 1}",
        )
        require(
            answer.content == part, f"bytes={text}: {len(answer.content)} other bytes", f"the {len(part)} bytes of the film"
        )
    return "206"


@add_check("content.range_past_end", "optional", "A download that goes on behind the end is answered with 416.")
def _range_past_end(server: ServerUnderTest) -> str:
    if _range(server, "10-19").status_code != 206:
        raise NotOffered("there are no ranges")
    answer = _range(server, f"{len(server.content().content) + 1000}-")
    require(answer.status_code == 416, outline(answer), "416")
    return "416"


@add_check("content.head", "optional", "HEAD tells the length before a download.")
def _head(server: ServerUnderTest) -> str:
    answer = server.request("HEAD", f"/videos/{server.film().id}/content")
    if answer.status_code in NO_ROUTE:
        raise NotOffered(str(answer.status_code))
    length = answer.headers.get("content-length")
    holds = answer.status_code == 200 and length == str(len(server.content().content))
    require(holds, f"{answer.status_code}, content-length {length}", f"200 with {len(server.content().content)}")
    return f"200, {length} bytes"


def _picture(server: ServerUnderTest, variant: str) -> str:
    answer = server.get(server.film().id, "/content", params={"variant": variant})
    if 400 <= answer.status_code < 500:
        raise NotOffered(outline(answer))
    kind = answer.headers.get("content-type", "")
    require(
        answer.status_code == 200 and kind.startswith("image/"), outline(answer), "a picture, or a status from 400 to 499"
    )
    try:
        with Image.open(io.BytesIO(answer.content)) as picture:
            picture.load()
            return f"{picture.format} of {picture.width}x{picture.height}"
    except (OSError, ValueError) as error:
        raise CheckFailed(f"{outline(answer)}: {error}", "a picture that decodes") from None


@add_check("content.thumbnail", "optional", '`download_content(id, variant="thumbnail")` is one picture of the film.')
def _thumbnail(server: ServerUnderTest) -> str:
    return _picture(server, "thumbnail")


@add_check("content.spritesheet", "optional", '`download_content(id, variant="spritesheet")` is a picture of many moments.')
def _spritesheet(server: ServerUnderTest) -> str:
    return _picture(server, "spritesheet")


@add_check("content.unknown_variant", "required", "A variant that there is not must not be answered with something else.")
def _unknown_variant(server: ServerUnderTest) -> str:
    return refused(server.get(server.film().id, "/content", params={"variant": "hologram"}))


@add_check(
    "content.before_completion",
    "required",
    "A download that is too early is an error, not a file that no player shows.",
)
def _before_completion(server: ServerUnderTest) -> str:
    server.film()
    for _ in range(MOST_TRIES):
        with server.passing() as film:
            answer = server.get(film.id, "/content")
            if 400 <= answer.status_code < 500:
                return refused(answer)
            if server.poll(film).status in LIVE_STATUSES:
                raise CheckFailed(
                    f"{outline(answer)} while {film.last.get('status')}", "a status from 400 to 499 with an error"
                )
    raise CheckSkipped("films are completed before their content can be asked for")


@add_check("content.unknown_video", "required", "NotFoundError stands for status 404.")
def _unknown_video(server: ServerUnderTest) -> str:
    return refused(server.get(UNKNOWN_ID, "/content"), 404)
