"""kinema models: the models installed; add, show, check or remove an open one.

kinema models add /models/Wan2.1-T2V-1.3B-Diffusers --name wan --alias sora-2
kinema models check wan
kinema generate "a lighthouse at dawn" --model wan
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.cli.options import DEVICE_HELP, filled, model_name, whole
from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.engines.host import EngineProcess
    from kinema.engines.protocol import Capabilities, FilmRequest
    from kinema.engines.registry import ModelEntry

NEEDS_FILM = {"edit": "edit CLIP PROMPT", "restyle": "restyle CLIP PROMPT", "upscale": "upscale CLIP"}
"""Workflows that begin with a film, and the commands that take one."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
VERBS = ("add", "show", "remove", "check", "shrink")


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "models", help="list the models installed; add open ones", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(run=run, verb=None)
    verbs = parser.add_subparsers(dest="verb", metavar="{add,show,remove,check,shrink}")
    one = verbs.add_parser("add", help="add an open model under a name", description=_add.__doc__)
    _settings_of_added(one)
    one.set_defaults(run=_add)
    for name, action, about in (
        ("show", _show, "what a model can film, as JSON, or its card"),
        ("remove", _remove, "take a model out of the list; its folder stays"),
        ("check", _check, "film two frames, and keep the time and memory that it took"),
    ):
        one = verbs.add_parser(name, help=about, description=about)
        one.add_argument("name", type=model_name, help="a model's name")
        if name == "check":
            one.add_argument("--size", default=None, help="WIDTHxHEIGHT in pixels (default: the model's own)")
            one.add_argument("--steps", type=int, default=2, help="steps of the sampler (default: 2)")
            one.add_argument("--device", default="auto", help=f"{DEVICE_HELP} (default: auto)")
        one.set_defaults(run=action)
    one = verbs.add_parser(
        "shrink", help="a copy of a model of Kinema with its weights in int8", description=_shrink.__doc__
    )
    one.add_argument("model", type=filled, help="its name or folder")
    one.add_argument("-o", "--output", type=Path, required=True, help="the new folder, after which the copy is called")
    one.set_defaults(run=_shrink)


def _settings_of_added(one: argparse.ArgumentParser) -> None:
    """What `kinema models add` takes."""
    one.add_argument(
        "source",
        type=filled,
        help="a folder (of diffusers, a recorded world or a model of your clips), a name on the hub, or a server's address",
    )
    one.add_argument("--name", type=filled, help="what to call it (default: the folder's name)")
    one.add_argument(
        "--alias",
        type=filled,
        action="append",
        default=[],
        metavar="NAME",
        help="another name, such as sora-2; may be repeated",
    )
    one.add_argument("--dtype", default="", choices=("fp32", "fp16", "bf16"), help="of the weights (default: bf16 on a GPU)")
    one.add_argument(
        "--quantize", default="", choices=("int8", "nf4", "gguf"),
        help="weights of the transformer in 8 or 4 bits, or as the GGUF file in the folder has them",
    )  # fmt: skip
    one.add_argument(
        "--control", action="append", default=[], choices=("coarse", "depth", "segments", "edges"),
        help="a drawing of a scene that its ControlNet or in-context LoRA was trained on; may be repeated",
    )  # fmt: skip
    one.add_argument(
        "--gguf", action="append", default=[], metavar="FILE",
        help="the transformer's weights from a GGUF file; another component's by NAME=FILE",
    )  # fmt: skip
    one.add_argument(
        "--offload", default="auto", choices=("auto", "none", "model", "group"),
        help="what waits in memory until it is used (default: auto, by the memory free on the GPU)",
    )  # fmt: skip
    one.add_argument(
        "--batch",
        type=whole,
        default=1,
        metavar="N",
        help="films of one shape made in one pass at most (default: 1); takes memory for each",
    )
    one.add_argument("--compile", action="store_true", help="compile the transformer, minutes at its first film")
    one.add_argument("--cache", default="", choices=("first-block",), help="skip steps that change little")
    one.add_argument("--lora", action="append", default=[], metavar="FILE=SCALE", help="a LoRA file; may be repeated")
    one.add_argument(
        "--offer-lora",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a LoRA that requests may ask for; may be repeated",
    )
    one.add_argument("--device", type=filled, help=f"{DEVICE_HELP} (default: as the command says that films)")
    one.add_argument("--upstream-model", type=filled, metavar="NAME", help="its name on the other server")
    one.add_argument(
        "--key-variable",
        type=filled,
        metavar="VARIABLE",
        help="environment variable with the other server's key",
    )
    one.add_argument(
        "--lost", default="fail", choices=("fail", "resubmit"), help="what happens to a video that the other server lost"
    )
    one.add_argument("--idempotent", action="store_true", help="the other server knows idempotency keys, as Kinema does")
    one.add_argument("--hash", action="store_true", help="also keep the SHA-256 of the weights, for the films' manifests")
    one.add_argument(
        "--accept-license",
        action="store_true",
        help="you have read the model's license and keep it, where it must be accepted",
    )
    one.add_argument("--force", action="store_true", help="replace a model of this name")


def run(arguments: argparse.Namespace) -> int:
    """List what is installed."""
    from kinema.engines.registry import installed_entries
    from kinema.inference.limits import sizes_of
    from kinema.models.hub import WEIGHTS, available_models, find, read_slot_config, weights_folder

    names, added = available_models(), installed_entries()
    if not names and not added:
        raise InputError(f"no model is installed in {weights_folder()}; set KINEMA_WEIGHTS, or make one: kinema train tiny")
    for name in names:
        folder = find(name)
        config = read_slot_config(folder)
        megabytes = (folder / WEIGHTS).stat().st_size / 2**20
        trained = ", ".join(f"{key} {config.trained[key]}" for key in ("steps", "minutes", "date") if key in config.trained)
        heights, aspects = ", ".join(map(str, config.heights)), ", ".join(config.aspects)
        print(f"{name}  {config.denoiser.slots} slots, {megabytes:.1f} MiB; {trained}")
        print(
            f"  heights {heights} px (default: {config.height}), shapes {aspects}, up to {config.max_side} px a side: "
            + " ".join(sizes_of(config))
        )
    for entry in added.values():
        print(line_of(entry))
    return 0


def line_of(entry: ModelEntry) -> str:
    """A model of the list in one line, also when its folder is gone."""
    from kinema.engines.opening import capabilities_for

    aliases = f" (also {', '.join(entry.aliases)})" if entry.aliases else ""
    if entry.is_upstream:
        return f"{entry.name}{aliases}  on {entry.source}"
    try:
        one = capabilities_for(entry)
    except InputError as error:
        return f"{entry.name}{aliases}  cannot be used: {error}"
    return f"{entry.name}{aliases}  {_summary(one)}"


def _summary(one: Capabilities) -> str:
    width, height = one.size
    if not one.workflows:
        return f"a recorded world, to step into: {width}x{height} at {one.fps:g} fps"
    weights = f", {one.memory_bytes / 1e9:.1f} GB" if one.memory_bytes else ""
    frames = "any number of" if str(one.frames) == "k" else one.frames
    return (
        f"{one.family}{weights}: {', '.join(one.workflows)}; {width}x{height}, {frames} frames at {one.fps:g} fps"
        + (f", {one.steps} steps" if one.steps else "")
        + (", with sound" if one.sound else "")
    )


def _add(arguments: argparse.Namespace) -> int:
    """Add a model: a folder of diffusers or of a recorded world, a name on the Hugging Face hub (fetched where there is a network),
    or the address of a server with /v1/videos."""
    from kinema.engines.licenses import terms_of
    from kinema.engines.opening import absolute, capabilities_for, entry_of_source
    from kinema.engines.registry import ModelEntry, check_lora, entries, parse_lora, save_entry, shipped_entries
    from kinema.models.hub import available_models

    source = arguments.source
    if entry_of_source(source) is None and not Path(source).exists():
        if HUB_NAME.fullmatch(source) is None:
            raise InputError(f"no such folder {source}: expected one, OWNER/NAME on the hub, or the address of a server")
        source = _fetched(source)
    simple = entry_of_source(source)
    name = arguments.name or (simple.name if simple is not None else Path(source).name)
    shipped = next((one for one in (name, *arguments.alias) if one in {*available_models(), *shipped_entries()}), None)
    if shipped is not None:
        raise InputError(f"{shipped!r} is the name of a model that Kinema ships; choose another")
    if name in entries() and not arguments.force:
        raise InputError(f"there is a model {name!r}; choose another --name, or replace it with --force")
    entry = ModelEntry(
        name=name, source=source, dtype=arguments.dtype, gguf=_gguf_of(arguments, source), controls=tuple(arguments.control),
        quantize="" if arguments.quantize == "gguf" else arguments.quantize, offload=arguments.offload,
        compile=arguments.compile, batch=arguments.batch, cache=arguments.cache, device=arguments.device or "",
        aliases=tuple(arguments.alias),
        loras=tuple(parse_lora(text) for text in arguments.lora),
        lora_files=dict(map(_offered, arguments.offer_lora)), upstream_model=arguments.upstream_model or "",
        key_variable=arguments.key_variable or "", lost=arguments.lost, idempotent=arguments.idempotent,
    )  # fmt: skip
    for lora in entry.loras:
        check_lora(lora)
    entry = absolute(entry)
    one = capabilities_for(entry)
    notes = _notes_of(entry)
    if one.license.must_accept and not arguments.accept_license:
        raise InputError(
            f"{name} films under a license that must be accepted ({terms_of(one.license)}); read it, then add --accept-license"
        )
    if arguments.hash and not entry.is_upstream:
        from kinema.engines.registry import with_measured

        entry = with_measured(entry, weights_sha256=_digest(entry))
    path = save_entry(entry)
    print(f"{entry.name} is added to {path}: {_summary(one)}")
    for note in notes:
        print(f"note: {note}")
    if one.license.name:
        print(f"its license: {terms_of(one.license)}")
    if not one.workflows:
        print(f"step into it: kinema play {entry.source}")
    elif one.workflows[0] in NEEDS_FILM:
        print(f"try it: kinema {NEEDS_FILM[one.workflows[0]]} --model {entry.name}")
    else:
        print(f"try it: kinema models check {entry.name}")
    return 0


def _notes_of(entry: ModelEntry) -> list[str]:
    """What is likely to fail later, where it may as well be mended by then: another server that is silent, a device that is not
    here. ModelError for a GGUF file of another network."""
    if entry.is_upstream:
        from kinema.engines.upstream import doubts_of

        return doubts_of(entry)
    if entry.gguf:
        from kinema.engines.diffusers.folder import read_folder
        from kinema.engines.diffusers.quantized import check_gguf

        check_gguf(entry, read_folder(Path(entry.source), entry.gguf))
    if not entry.device:
        return []
    from kinema.devices import resolve_device

    try:
        resolve_device(entry.device)
    except InputError as error:
        return [str(error)]
    return []


def _gguf_of(arguments: argparse.Namespace, source: str) -> dict[str, str]:
    """GGUF files by the component whose weights they hold; with --quantize gguf alone, the one in the model's folder."""
    given = list(arguments.gguf)
    if arguments.quantize == "gguf" and not given:
        inside = sorted(str(file) for file in Path(source).rglob("*.gguf"))
        if len(inside) != 1:
            raise InputError(
                f"--quantize gguf: {source} has {len(inside)} files *.gguf; name the one wanted with --gguf FILE"
            )
        given = inside
    files: dict[str, str] = {}
    for text in given:
        component, sign, file = ("transformer", "=", text) if Path(text).is_file() else text.partition("=")
        if not sign or not Path(file).is_file():
            raise InputError(f"--gguf {text!r}: there is no such file")
        if component in files:
            raise InputError(f"--gguf is given twice for {component}; its weights are in one file")
        files[component] = file
    return files


def _offered(text: str) -> tuple[str, str]:
    """'film=film.safetensors' -> its name and its whole path."""
    name, _, file = text.partition("=")
    if not name or not Path(file).is_file():
        raise InputError(f"--offer-lora {text!r}: expected NAME=FILE with a file that exists, such as film=film.safetensors")
    return name, str(Path(file).resolve())


def _fetched(name: str) -> str:
    """The folder of a model of the hub, fetched if it is not there yet."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; open models need: pip install 'kinema[open-weights]'") from None
    try:
        return str(snapshot_download(name))
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        gated = type(error).__name__ == "GatedRepoError"
        mend = "accept its license on the hub and log in: hf auth login" if gated else "give a folder instead, or try again"
        raise InputError(f"{name} could not be fetched: {lines[0][:200]}; {mend}") from None


def _digest(entry: ModelEntry) -> str:
    """SHA-256 over the names and the bytes of all weights; of a file elsewhere, its name alone."""
    from kinema.engines.diffusers.folder import weight_files

    digest, folder = hashlib.sha256(), Path(entry.source)
    for file in weight_files(folder, entry.gguf):
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name
        digest.update(name.encode() + b"\0")
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _entry(name: str) -> ModelEntry:
    from kinema.engines.opening import entry_of_source
    from kinema.engines.registry import entries, find_entry

    entry = find_entry(name) or entry_of_source(name)
    if entry is None:
        known = ", ".join(entries()) or "none"
        raise InputError(f"no model {name!r} was added; there are {known}")
    return entry


def _show(arguments: argparse.Namespace) -> int:
    from kinema.engines.catalog import capabilities_named
    from kinema.engines.native import is_native
    from kinema.engines.opening import capabilities_for
    from kinema.models.hub import CARD, find

    if is_native(arguments.name):
        card = find(arguments.name) / CARD
        print(card.read_text(encoding="utf-8") if card.exists() else f"{arguments.name} has no card")
        document = capabilities_named(arguments.name).to_dict()
    else:
        document = capabilities_for(_entry(arguments.name)).to_dict()
    print(json.dumps(document, indent=1, default=str))
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from kinema.engines.registry import remove_entry

    removed = remove_entry(arguments.name)
    print(f"{removed.name} is removed from the list; {removed.source} stays as it is")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from kinema.engines.host import EngineProcess
    from kinema.engines.opening import capabilities_for
    from kinema.engines.protocol import FilmRequest
    from kinema.engines.registry import entries, save_entry, with_measured

    if arguments.steps < 1:
        raise InputError(f"{arguments.steps} steps: expected at least 1")
    entry = _entry(arguments.name)
    one = capabilities_for(entry)
    if not one.workflows:
        raise InputError(f"{entry.name} is a recorded world, which does not film; step into it: kinema play {entry.source}")
    workflow = "generate" if "generate" in one.workflows else one.workflows[0]
    if workflow in NEEDS_FILM:
        tried = f"try it with kinema {NEEDS_FILM[workflow]} --model {entry.name}"
        raise InputError(f"{entry.name} needs a film to begin with ({workflow}); {tried}")
    given: dict[str, Any] = {}
    if workflow != "generate":
        from PIL import Image

        from kinema.media import Clip

        given["first"] = Clip.of(Image.new("RGB", one.size, (96, 128, 160)))
    fixed = "steps" in one.unused.get(workflow, ())
    steps: int = one.steps if fixed and one.steps else arguments.steps
    request = FilmRequest(
        workflow=workflow,
        prompt="a red ball",
        seconds=2 / one.fps,
        size=arguments.size,
        steps=None if fixed else steps,
        **given,
    )
    engine = EngineProcess(entry, device=arguments.device)
    if entry.is_upstream:  # each film may cost money, and memory is taken elsewhere
        return _check_upstream(engine, request)
    try:
        begun = time.perf_counter()
        clip = engine.film(request)[0]
        loaded_s = time.perf_counter() - begun
        begun = time.perf_counter()
        engine.film(request)
        took_s = time.perf_counter() - begun
        memory = _peak_of(engine.process_id)
    finally:
        engine.close()
    frames = one.frames.at_least(2)
    width, height = one.nearest_size(*one.check_size(arguments.size))
    share = one.size[0] * one.size[1] / (width * height)
    print(
        f"{entry.name} films: {clip.size}, {clip.num_frames} frames; {loaded_s:.1f} s with loading, {took_s:.1f} s without"
    )
    print(f"at most {memory / 1e9:.2f} GB of memory at {width}x{height}")
    if not 1 / LIKE_SIZES <= share <= LIKE_SIZES:
        usual = "x".join(map(str, one.size))
        print(
            f"{width}x{height} says too little of the usual size, {usual}: for times and memory of films, check without --size"
        )
        return 0
    per_second = took_s * share / steps * (one.steps or steps) / frames * one.fps
    print(f"about {per_second:.1f} s for a second of film of the usual size and steps, measured at {width}x{height}")
    if entries().get(entry.name) == entry:
        save_entry(with_measured(entry, memory_bytes=memory, seconds_per_second=round(per_second, 3)))
    return 0


def _shrink(arguments: argparse.Namespace) -> int:
    """Write a copy of a model of Kinema, its large weights stored as int8 with a scale for each row: half the size, and films that
    hardly differ."""
    from kinema.models.hub import WEIGHTS, find, shrink

    source, out = find(arguments.model), arguments.output
    shrink(source, out)
    before, after = ((folder / WEIGHTS).stat().st_size / 1e6 for folder in (source, out))
    print(f"written to {out}: weights of {after:.1f} MB, {before:.1f} MB before")
    return 0


def _check_upstream(engine: EngineProcess, request: FilmRequest) -> int:
    begun = time.perf_counter()
    try:
        clip = engine.film(request)[0]
    finally:
        engine.close()
    took_s = time.perf_counter() - begun
    print(f"{engine.entry.name} films: {clip.size}, {clip.num_frames} frames in {took_s:.1f} s on {engine.entry.source}")
    return 0


LIKE_SIZES = 2.0
"""How many times more pixels the usual size may have than the one that was filmed, or fewer, so that times are compared."""


def _peak_of(process_id: int | None) -> int:
    """The most memory that a process held, in bytes; 0 where the system does not say."""
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        return 0
