"""Characters: an entity of a video, stored with a name that prompts may use."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Row, select

from kinema.server.api.bodies import MOST_TEXT
from kinema.server.api.errors import not_found, refuse
from kinema.server.api.video_schema import MOST_CHARACTERS
from kinema.server.auth import Caller
from kinema.server.services import Services
from kinema.server.storage.artifacts import is_id, new_id
from kinema.server.storage.tables import characters


class Characters:
    """Creates characters and replaces their names in prompts."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def find(self, id: str, caller: Caller) -> Row[Any]:
        if not is_id(id, "char"):
            raise not_found("character", id)
        with self.services.database.reading() as db:
            row = db.execute(select(characters).where(characters.c.id == id)).first()
        if row is None or (caller.sees is not None and row.key_id != caller.sees):
            raise not_found("character", id)
        return row

    def all(self, caller: Caller) -> list[Row[Any]]:
        query = select(characters).order_by(characters.c.created_at)
        if caller.sees is not None:
            query = query.where(characters.c.key_id == caller.sees)
        with self.services.database.reading() as db:
            return list(db.execute(query).all())

    def remember(self, name: str, video: Any, caller: Caller) -> Row[Any]:
        """Create a character from the main entity of a video."""
        appearance = self.services.read_reference(video, caller, "video", self.services.main_character)
        id = new_id("char")
        with self.services.database.writing() as db:
            row = {
                "id": id,
                "key_id": caller.key_id,
                "created_at": self.services.database.now(db),
                "name": name[:80],
            }
            db.execute(characters.insert().values(**row, looks=appearance))
        return self.find(id, caller)

    def replace_names(self, prompt: str, wanted: list[Any] | None, caller: Caller) -> str:
        """Replace the names of characters in a prompt by their appearance, each in one pass over the text."""
        ids = dict.fromkeys(str(entry.get("id") if isinstance(entry, dict) else entry) for entry in wanted or [])
        if len(ids) > MOST_CHARACTERS:
            raise refuse("characters", f"{len(ids)} of them", f"up to {MOST_CHARACTERS}")
        appearances = {match.name: match.looks for match in (self.find(id, caller) for id in ids)}
        if not appearances:
            return prompt
        names = "|".join(re.escape(name) for name in sorted(appearances, key=len, reverse=True))
        rewritten = re.sub(rf"(?<!\w)({names})(?!\w)", lambda match: f"the {appearances[match[1]]}", prompt)
        if len(rewritten) > MOST_TEXT:
            raise refuse("prompt", f"{len(rewritten)} characters with its characters put in", f"up to {MOST_TEXT}")
        return rewritten
