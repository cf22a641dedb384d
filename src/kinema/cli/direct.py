"""kinema direct "A red ball rolls across the lab. It stops at a blue box." -o film.mp4: from a story to a film, in shots that are
planned, filmed, checked, and filmed again where a check fails. `kinema direct resume FOLDER` goes on with a production."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.cli.direct_checks import FILM, check_effects, check_targets
from kinema.cli.options import add_device, engine_from, number, progress_bar, seed, up_to, words
from kinema.errors import EngineError, InputError, KinemaError

if TYPE_CHECKING:
    from kinema.director.checking.looks import LookChecks
    from kinema.director.direct import Director
    from kinema.director.planning.planner import PlannedScript
    from kinema.director.production import Production
    from kinema.director.script import ProductionSettings, Script, Shot
    from kinema.engines import Engine
    from kinema.provenance import Identity

GATES = ("script", "stills", "shots")


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("direct", help="film a story in shots that are checked", description=__doc__)
    parser.add_argument(
        "story", nargs="*", type=words, help="the story, or a file of it (.txt, .fountain), or: resume FOLDER"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="the film (default: film.mp4 here; with resume: film.mp4 in FOLDER)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument("--folder", type=Path, help="folder of the production (default: film.production beside film.mp4)")
    parser.add_argument("--script", type=Path, metavar="FILE", help="film this script instead of planning a story")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of scripts")
    parser.add_argument("--plan-only", action="store_true", help="print the script, what cannot be filmed, and the estimate")
    parser.add_argument(
        "--workers", type=up_to(64), metavar="N",
        help="shots that are filmed side by side, each in a process with the model of its own (default: 1); the film is the same",
    )  # fmt: skip
    parser.add_argument("--until", choices=GATES, help="stop after the script, after stills, or after the shots")
    _add_planning(parser)
    _add_decisions(parser)
    parser.set_defaults(run=run)


def _add_planning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", "--engine", dest="model", default=None,
        help="the name of a model (kinema models), a folder or a server's address (default: kinema-tiny)",
    )  # fmt: skip
    add_device(parser)
    parser.add_argument("--title", type=words, help="of the film (default: that of the story)")
    parser.add_argument("--aspect", metavar="W:H", help="shape of the picture (default: 1:1)")
    parser.add_argument("--size", metavar="WIDTHxHEIGHT", help="in pixels, instead of the aspect")
    parser.add_argument("--style", type=words, help="words for every prompt of an open model")
    parser.add_argument("--sound", type=Path, metavar="FILE", help="lies under the film")
    parser.add_argument("--title-card", type=number, metavar="S", help="show the title so many seconds first")
    parser.add_argument("--seed", type=seed, help="added to the seed of every shot")
    parser.add_argument("--budget", type=up_to(100_000), metavar="N", help="takes in all (default: no limit but --takes)")
    parser.add_argument(
        "--budget-seconds", type=number, metavar="S", help="no further retakes after so many seconds of filming"
    )
    parser.add_argument("--takes", type=up_to(100), metavar="N", help="takes of a shot at most (default: 6)")
    parser.add_argument("--llm", metavar="URL", help="plan by the language model at an OpenAI-compatible address")
    parser.add_argument("--llm-model", metavar="NAME", help="its name; its key: KINEMA_LLM_KEY or OPENAI_API_KEY")
    parser.add_argument("--critic", metavar="URL", help="ask a model that looks at pictures about every take")
    parser.add_argument("--critic-model", metavar="NAME", help="its name")
    parser.add_argument("--look", action="store_true", help="compare takes with pictures of the cast (needs kinema[look])")
    parser.add_argument("--unsigned", action="store_true", help="do not sign takes and film (C2PA)")
    parser.add_argument("--zip", type=Path, metavar="FILE", help="also pack the whole production")


def _add_decisions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("with resume")
    group.add_argument("--retake", action="append", default=[], metavar="SHOT", help="film a shot again")
    group.add_argument("--accept", action="append", default=[], metavar="SHOT=TAKE", help="use this take of a shot")
    group.add_argument("--lock", action="append", default=[], metavar="SHOT", help="do not film a shot again")
    group.add_argument("--unlock", action="append", default=[], metavar="SHOT", help="take the lock off")
    group.add_argument(
        "--reword", action="append", default=[], type=words, metavar="SHOT=PROMPT", help="film it by other words"
    )
    group.add_argument("--order", metavar="SHOT,...", help="put the shots into this order")


def run(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        from kinema.director.script import script_schema

        print(json.dumps(script_schema(), indent=1))
        return 0
    resumes = arguments.story[:1] == ["resume"]
    check_effects(arguments, resumes=resumes)
    if resumes:
        return _resume(arguments)
    engine = engine_from(arguments)
    planned = _plan(arguments, engine)
    from kinema.director.delivery.film import check_files
    from kinema.director.production import Production

    output = arguments.output or Path(FILM)
    if arguments.plan_only:
        print(planned.script.to_json(), end="")
        _tell_plan(planned)
        try:
            check_files(planned.script, arguments.folder or output.with_suffix(".production"))
        except KinemaError as error:
            print(f"note: {error}", file=sys.stderr)
        return 0
    if not output.name:
        raise InputError(f"-o {str(arguments.output)!r}: expected the name of a film, such as {FILM}")
    folder = arguments.folder or output.with_suffix(".production")
    if arguments.until is None:
        _check_targets(arguments, planned.script, output, folder, resumes=False)
    if arguments.until != "script":
        check_files(planned.script, folder)
    model = arguments.model or engine.capabilities.model
    looks = _looks(arguments, planned.script, folder)
    production = Production.create(folder, planned.script, model, planned.notes)
    _tell_plan(planned)
    if arguments.until == "script":
        print(f"{folder / 'script.json'}  change it as you like, then: kinema direct resume {folder} -o {output}")
        return 0
    return _film(arguments, production, engine, output, looks, overwrites=arguments.force)


def _check_targets(arguments: argparse.Namespace, script: Script, output: Path, folder: Path, *, resumes: bool) -> bool:
    """Whether the film is overwritten. KinemaError: a file may not be written."""
    subtitled = any(shot.dialogue for shot in script.shots)
    return check_targets(output, arguments.zip, folder, subtitled=subtitled, force=arguments.force, resumes=resumes)


def _plan(arguments: argparse.Namespace, engine: Engine) -> PlannedScript:
    """The script of --script, or that of the story."""
    from kinema.director.planning.planner import plan_story, with_notes
    from kinema.director.planning.story import read_story
    from kinema.director.script import read_script

    text = " ".join(arguments.story).strip()
    if arguments.script is not None:
        if text:
            raise InputError("a story and --script: give one of them")
        return with_notes(read_script(_read(arguments.script)), engine.capabilities)
    if not text:
        raise InputError('nothing to film: give a story, such as "A red ball rolls right. It hits a blue box."')
    path = Path(text)
    is_file = len(text) < 250 and path.suffix in (".txt", ".md", ".fountain") and "\n" not in text
    if is_file:
        text = _read(path)
    story = read_story(text, fountain=True if is_file and path.suffix == ".fountain" else None)
    settings = _settings(arguments, arguments.title or story.title)
    if arguments.llm is not None:
        from kinema.director.endpoint import ChatEndpoint
        from kinema.director.planning.llm import plan_with_llm

        endpoint = ChatEndpoint(url=arguments.llm, model=arguments.llm_model or "")
        planned = plan_with_llm(text, endpoint, engine.capabilities, settings)
    else:
        planned = plan_story(story, engine.capabilities, settings)
    if arguments.seed:
        from dataclasses import replace

        shots = tuple(
            shot.model_copy(update={"seed": (shot.seed + arguments.seed) % 2**31}) for shot in planned.script.shots
        )
        planned = replace(planned, script=planned.script.model_copy(update={"shots": shots}))
    return planned


def _settings(arguments: argparse.Namespace, title: str) -> ProductionSettings:
    from kinema.director.script import script_from

    budget = {"takes": arguments.budget, "seconds": arguments.budget_seconds, "per_shot": arguments.takes or 6}
    sound = None if arguments.sound is None else str(arguments.sound.absolute())
    given: dict[str, Any] = {
        "title": title, "aspect": arguments.aspect or "1:1", "size": arguments.size, "style": arguments.style or "",
        "budget": budget, "title_card": arguments.title_card or 0.0, "sound": sound,
    }  # fmt: skip
    return script_from({"production": given, "shots": [{"id": "s1", "prompt": "checks the settings"}]}).production


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _tell_plan(planned: PlannedScript) -> None:
    print(f"plan: {planned.estimate}", file=sys.stderr)
    for note in planned.notes:
        print(f"note: {note}", file=sys.stderr)


def _resume(arguments: argparse.Namespace) -> int:
    from kinema.director.delivery.film import check_files
    from kinema.director.production import Production

    if len(arguments.story) != 2:
        raise InputError("resume what? expected: kinema direct resume FOLDER")
    folder = Path(arguments.story[1])
    production = Production.open(folder)
    arguments.model = arguments.model or production.model
    output = arguments.output or folder / FILM
    overwrites = arguments.force
    if arguments.until is None:
        overwrites = _check_targets(arguments, production.script, output, folder, resumes=True)
    with production.writing():
        _decide(arguments, production)
        check_files(
            production.script, folder, [shot for shot in production.script.shots if production.used(shot.id) is None]
        )
    looks = _looks(arguments, production.script, folder)
    return _film(arguments, production, engine_from(arguments), output, looks, overwrites=overwrites)


def _decide(arguments: argparse.Namespace, production: Production) -> None:
    """What a person decided, in this order: locks, words, order, takes."""
    for shot in arguments.unlock:
        production.lock(shot, is_locked=False)
    for text in arguments.accept:
        shot, take = _pair(text, "--accept", "s2=1")
        if not (take.isascii() and take.isdecimal() and len(take) < 7):
            raise InputError(f"--accept {text!r}: expected the number of a take, such as s2=1")
        production.script.index_of(shot)
        production.use(shot, int(take), "asked for")
    for text in arguments.reword:
        production.reword(*_pair(text, "--reword", "s2=a red ball rolls left"))
    for shot in arguments.lock:
        production.lock(shot)
    for shot in arguments.retake:
        production.retake(shot)
    if arguments.order:
        production.reorder([part.strip() for part in arguments.order.split(",")])


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    shot, sign, value = text.partition("=")
    if not sign or not value.strip():
        raise InputError(f"{option} {text!r}: expected SHOT=VALUE, such as {example}")
    return shot.strip(), value.strip()


def _film(
    arguments: argparse.Namespace, production: Production, engine: Engine, output: Path, looks: LookChecks | None, *,
    overwrites: bool,
) -> int:  # fmt: skip
    """Film, and cut what was filmed. overwrites: whether the film may be there already."""
    from kinema.director.delivery.film import deliver, pack_production
    from kinema.director.direct import Director
    from kinema.director.script import number_of_shots

    identity = None if arguments.unsigned else _identity()
    begun = time.perf_counter()
    with production.writing(), _saying_how_to_go_on(_resume_words(arguments, production)):
        with progress_bar() as progress:
            director = Director(
                production,
                engine,
                identity=identity,
                critic=_critic(arguments),
                looks=looks,
                progress=progress,
                on_take=_tell_take,
                open_engine=partial(_open_engine, device=arguments.device),
            )
            if arguments.until == "stills":
                return _stills(director, production, _resume_words(arguments, production))
            director.film_all(workers=arguments.workers or 1)
        if arguments.until == "shots":
            print(f"{production.folder / 'takes'}  then: {_resume_words(arguments, production)}")
            return 0
        delivered = deliver(production, output, identity=identity, force=overwrites)
    made = f"made in {time.perf_counter() - begun:.1f} s"
    print(f"{delivered.film}  {number_of_shots(len(production.script.shots))}, {round(delivered.duration_s, 2):g} s, {made}")
    for path in delivered.others:
        print(path)
    if arguments.zip is not None:
        print(pack_production(production, arguments.zip, force=arguments.force))
    return 0


def _open_engine(model: str, *, device: str) -> Engine:
    """The engine of a model that a shot names, or of another process."""
    from kinema.engines.native import engine_for

    return engine_for(model, device=device)


@contextmanager
def _saying_how_to_go_on(command: str) -> Iterator[None]:
    """Where filming is stopped or an engine fails, say with which command it goes on."""
    try:
        yield
    except (KeyboardInterrupt, EngineError):
        print(f"what was filmed stays; go on with: {command}", file=sys.stderr)
        raise


def _resume_words(arguments: argparse.Namespace, production: Production) -> str:
    """The command that goes on, with the film that was named."""
    output = "" if arguments.output is None else f" -o {arguments.output}"
    return f"kinema direct resume {production.folder}{output}"


def _stills(director: Director, production: Production, then: str) -> int:
    for name in director.film_stills():
        print(production.folder / "stills" / name)
    print(f"then: {then}")
    return 0


def _tell_take(shot: Shot, record: Any) -> None:
    failed = "; ".join(one.saw for one in record.report.failures[:2])
    state = "passed" if record.report.passed else f"score {record.report.score:.2f}: {failed}"
    print(f"{shot.id} take {record.plan.number}  {state}", flush=True)


def _critic(arguments: argparse.Namespace) -> Any:
    if arguments.critic is None:
        return None
    from kinema.director.checking.critic import Critic
    from kinema.director.endpoint import ChatEndpoint

    return Critic(ChatEndpoint(url=arguments.critic, model=arguments.critic_model or ""))


def _looks(arguments: argparse.Namespace, script: Script, folder: Path) -> LookChecks | None:
    """What compares takes with pictures of the cast, if it is asked for."""
    if not arguments.look:
        return None
    from kinema.director.checking.looks import LookChecks

    return LookChecks(script, folder)


def _identity() -> Identity:
    """Who signs: an identity of this user, made at the first use. InputError: a package is missing."""
    try:
        import c2pa  # noqa: F401
        import cryptography  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"signing needs {error.name}; get it with: pip install 'kinema[serve]', or give --unsigned"
        ) from None
    from kinema.provenance import own_identity

    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return own_identity(settings / "kinema" / "identity")
