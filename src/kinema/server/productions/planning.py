"""From a request to a new production: the plan of a story, or a script that is checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kinema.director.checking.looks import is_installed
from kinema.director.endpoint import ChatEndpoint
from kinema.director.filming.actors import check_live
from kinema.director.planning.llm import plan_with_llm
from kinema.director.planning.planner import PlannedScript, plan_story, with_notes
from kinema.director.planning.story import read_story
from kinema.director.script import ProductionSettings, Script, script_from
from kinema.engines.catalog import capabilities_named
from kinema.engines.protocol import Capabilities
from kinema.errors import ApiError, EngineError
from kinema.server.api.errors import refuse
from kinema.server.api.production_schema import CreateProduction
from kinema.server.api.video_schema import check_allowed, model_for
from kinema.server.auth import Caller
from kinema.server.productions.productions import NewProduction
from kinema.server.services import Services
from kinema.server.storage.artifacts import is_id

LLM_TIMEOUT_S = 60.0
"""How long an answer of the language model may take."""
MOST_PICTURES = 16
"""Of one member of the cast."""


def plan_production(services: Services, caller: Caller, given: CreateProduction) -> NewProduction:
    """Plan a production. ApiError: it cannot be filmed here, with the reason."""
    if services.settings.label:
        raise ApiError(
            400, "this server puts a visible mark on every video, which productions cannot have yet: film single videos",
            code="not_supported",
        )  # fmt: skip
    model, notes = model_for(given.model, services.settings.aliases)
    capabilities = capabilities_named(model)
    if given.stop_after == "stills" and not capabilities.state:
        raise refuse("stop_after", "stills", f"script or shots: {model} makes no stills before it films")
    planned = _planned(services, given, capabilities)
    _check_script(services, caller, planned.script, model)
    if given.look:
        check_look(planned.script)
    return NewProduction(
        key_id=caller.key_id, model=model, script=planned.script, story=given.story, notes=(*notes, *planned.notes),
        stop_after=given.stop_after, look=given.look,
    )  # fmt: skip


def check_texts(services: Services, caller: Caller, texts: Iterator[str]) -> None:
    """400 if moderation refuses a text."""
    for text in texts:
        refusal = services.moderation.check_prompt(text)
        if refusal:
            services.queue.note(caller.key_id, "policy.prompt", None, {"reason": refusal})
            raise ApiError(400, refusal, code="content_policy_violation")


def _planned(services: Services, given: CreateProduction, capabilities: Capabilities) -> PlannedScript:
    if (given.script is None) == (not given.story.strip()):
        raise ApiError(400, "a production needs either a story or a script", param="story", code="missing_value")
    if given.script is not None:
        return with_notes(script_from(given.script), capabilities)
    story = read_story(given.story)
    settings = _settings(given, given.title.strip() or story.title)
    if given.llm:
        planned = _planned_by_llm(services, given.story, capabilities, settings)
    else:
        planned = plan_story(story, capabilities, settings)
    if not given.seed:
        return planned
    shots = tuple(shot.model_copy(update={"seed": (shot.seed + given.seed) % 2**31}) for shot in planned.script.shots)
    return PlannedScript(
        script=planned.script.model_copy(update={"shots": shots}), notes=planned.notes, estimate=planned.estimate
    )


def _planned_by_llm(
    services: Services, story: str, capabilities: Capabilities, settings: ProductionSettings
) -> PlannedScript:
    """The plan of the operator's language model. 400 if there is none, 503 if it gives no valid script."""
    url, name = services.settings.llm, services.settings.llm_model
    if url is None or name is None:
        raise refuse("llm", True, "false: this server has no language model")
    try:
        return plan_with_llm(
            story, ChatEndpoint(url=url, model=name, timeout_s=LLM_TIMEOUT_S, tries=2), capabilities, settings
        )
    except EngineError as error:
        raise ApiError(503, str(error), code=error.code, headers={"retry-after": "30"}) from None


def _settings(given: CreateProduction, title: str) -> ProductionSettings:
    budget = None if given.budget is None else dict(given.budget)
    values: dict[str, Any] = {
        "title": title, "aspect": given.aspect, "size": given.size, "style": given.style, "title_card": given.title_card,
        **({} if budget is None else {"budget": budget}),
    }  # fmt: skip
    return script_from({"production": values, "shots": [{"id": "s1", "prompt": "checks the settings"}]}).production


def _check_script(services: Services, caller: Caller, script: Script, model: str) -> None:
    """400 for what a script must not have on a server: files of its machine, models that it lacks, forbidden words, too long
    shots."""
    check_texts(services, caller, _texts(script))
    production = script.production
    if production.sound is not None:
        raise refuse("script.production.sound", production.sound, "none: sound is laid under the film elsewhere")
    for member in script.cast:
        check_pictures(services, caller, "script.cast.pictures", member.id, member.pictures)
    check_live(script, lambda shot: capabilities_named(model_for(shot.model, {})[0] if shot.model else model))
    for shot in script.shots:
        check_allowed(services.settings, shot.seconds, None)
        capabilities = capabilities_named(model)
        if shot.model is not None:
            named, _ = model_for(shot.model, {})
            capabilities = capabilities_named(named)
        loras = [name.partition("=")[0] for id in shot.cast for name in script.member(id).loras]
        for name in loras:
            if name not in capabilities.lora_names:
                known = ", ".join(capabilities.lora_names) or "it has none"
                raise refuse("script.cast.loras", name, f"one of {capabilities.model}'s: {known}")
        if shot.actor is not None:
            raise refuse("script.shots.actor", shot.actor, "none: agents are files of another machine")
        for field in ("first_frame", "last_frame"):
            named_file = getattr(shot, field)
            if named_file is not None:
                _check_file(services, caller, f"script.shots.{field}", named_file)


def check_pictures(services: Services, caller: Caller, field: str, member: str, names: Sequence[str]) -> None:
    """400 for more pictures than a member of the cast may have, or a name that is no id of an upload; 404 for one that is not this
    caller's, or not there."""
    if len(names) > MOST_PICTURES:
        raise refuse(field, f"{len(names)} of {member}", f"up to {MOST_PICTURES} of each")
    for name in names:
        _check_file(services, caller, field, name)


def _check_file(services: Services, caller: Caller, field: str, name: str) -> None:
    """400 for a name that is no id of an upload, 404 for one of a file that is not there or not this caller's."""
    if not is_id(name, "file"):
        raise refuse(field, name, "the id of a file that was uploaded")
    services.uploads.find(name, caller.sees)


def check_look(script: Script) -> None:
    """400 where looks cannot be compared."""
    if not any(member.pictures for member in script.cast):
        raise refuse("look", True, "false: nobody of the cast has pictures to compare takes with")
    if not is_installed():
        raise refuse("look", True, "false: this server lacks the package that compares looks, kinema[look]")


def _texts(script: Script) -> Iterator[str]:
    yield script.production.title
    yield script.production.style
    for member in script.cast:
        yield from (member.name, member.look)
    for place in script.places:
        yield from (place.name, place.look)
    for shot in script.shots:
        yield from (shot.prompt, shot.motion, shot.sound)
        yield from (line.text for line in shot.dialogue)
