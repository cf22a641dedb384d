"""What `kinema direct` refuses before it plans or films anything: options without an effect, and files that it may not write."""

from __future__ import annotations

import argparse
from pathlib import Path

from kinema.errors import InputError

STORY_OPTIONS = (
    "title", "aspect", "size", "style", "sound", "title_card", "seed", "budget", "budget_seconds", "takes", "llm", "llm_model",
)  # fmt: skip
"""Options of a story that is planned; a script holds what they say."""
FILM = "film.mp4"
"""The film in a production's folder."""


def check_effects(arguments: argparse.Namespace, *, resumes: bool) -> None:
    """InputError: an option is given that has no effect. resumes: whether a production is gone on with."""
    if resumes:
        _refuse(
            arguments,
            (*STORY_OPTIONS, "script"),
            "with resume: the production has its script; change script.json in its folder",
        )
        _refuse(arguments, ("plan_only",), "with resume: the production is planned; its plan is script.json in its folder")
        _refuse(arguments, ("folder",), "with resume: expected the folder as in kinema direct resume FOLDER")
        if arguments.until == "script":
            raise InputError("--until script with resume: the script is there already; expected stills or shots")
    else:
        _refuse(
            arguments, ("retake", "accept", "lock", "unlock", "reword", "order"), "goes with: kinema direct resume FOLDER"
        )
    if arguments.script is not None:
        _refuse(arguments, STORY_OPTIONS, "with --script: the script holds it; change it there")
    if arguments.plan_only:
        _refuse(arguments, ("until", "zip", "output", "critic", "look", "workers"), "with --plan-only: nothing is filmed")
        if arguments.script is None:
            _refuse(arguments, ("folder",), "with --plan-only: goes with --script, whose files are looked for there")
    if arguments.until in ("script", "stills"):
        _refuse(arguments, ("look", "workers"), f"with --until {arguments.until}: nothing is filmed")
    if arguments.until is not None:
        _refuse(arguments, ("zip",), f"with --until {arguments.until}: nothing is packed")
    for option, needed in (("llm_model", "llm"), ("critic_model", "critic")):
        if not _given(arguments, needed):
            _refuse(arguments, (option,), f"without --{needed}: give its address too")
    if arguments.aspect is not None and arguments.size is not None:
        raise InputError("--aspect and --size: give one of them")


def _given(arguments: argparse.Namespace, option: str) -> bool:
    value = getattr(arguments, option)
    return value is not None and value is not False and value != []


def _refuse(arguments: argparse.Namespace, options: tuple[str, ...], why: str) -> None:
    for option in options:
        if _given(arguments, option):
            raise InputError(f"--{option.replace('_', '-')} {why}")


def check_targets(output: Path, archive: Path | None, folder: Path, *, subtitled: bool, force: bool, resumes: bool) -> bool:
    """Refuse files that may not be written, before anything is filmed.

    Args:
        output: The film.
        archive: The zip of the production. None: there is none.
        folder: Of the production.
        subtitled: Whether there are subtitles beside the film.
        force: Whether files that are there are overwritten.
        resumes: Whether the production was there before, so that the film in its folder is its own and is made anew.

    Returns:
        Whether the film is overwritten.

    Raises:
        InputError: A file lies among the takes, or the archive's name ends otherwise than .zip.
        OutputError: A file is there, its folder is not, or its ending is that of no film.
    """
    from kinema.director.delivery.film import delivered_paths
    from kinema.media.write import check_ending, check_free

    for path in (output, archive):
        if path is not None and path.resolve().is_relative_to((folder / "takes").resolve()):
            raise InputError(
                f"{path} lies among the takes of the production, which are never overwritten: name another file"
            )
    check_ending(output, still=False)
    overwrites = force or (resumes and output.resolve() == (folder / FILM).resolve())
    for path in delivered_paths(output, subtitled=subtitled):
        check_free(path, force=overwrites)
    if archive is not None:
        if archive.suffix.lower() != ".zip":
            raise InputError(f"--zip {archive}: unknown ending {archive.suffix!r}; expected .zip")
        check_free(archive, force=force)
    return overwrites
