"""Which models film for which keys: licenses that must be accepted, and territories in which they do not hold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import select

from kinema.engines.catalog import capabilities_named
from kinema.engines.licenses import excluded_from, terms_digest, terms_of
from kinema.engines.protocol import License
from kinema.errors import ApiError, InputError
from kinema.server.storage.database import Database
from kinema.server.storage.tables import acceptances, audit

MOST_NAME = 200


class Licenses:
    """The licenses of a server's models.

    Args:
        database: The server's store.
        territories: Where the server is offered, as `kinema.engines.licenses.parse_territory` returns them.
    """

    def __init__(self, database: Database, territories: Sequence[str] = ()) -> None:
        self.database, self.territories = database, tuple(territories)

    def check(self, key_id: str, model: str) -> None:
        """ApiError 403 unless a model films for a key: its license holds here, and the key has accepted it if it must."""
        error = self.refusals(key_id, [model]).get(model)
        if error is not None:
            raise error

    def refusals(self, key_id: str, models: Sequence[str]) -> dict[str, ApiError]:
        """Why models do not film for a key, by name; those that do, and those that cannot be read, are left out."""
        refused: dict[str, ApiError] = {}
        unaccepted: dict[str, License] = {}
        for model in models:
            with suppress(InputError):
                license = capabilities_named(model).license
                error = self._excluded(model, license)
                if error is not None:
                    refused[model] = error
                elif license.must_accept:
                    unaccepted[model] = license
        if unaccepted:
            with self.database.reading() as db:
                query = select(acceptances.c.model, acceptances.c.terms).where(acceptances.c.key_id == key_id)
                accepted = {(row.model, row.terms) for row in db.execute(query)}
            for model, license in unaccepted.items():
                if (model, terms_digest(license)) not in accepted:
                    refused[model] = _not_accepted(model, license)
        return refused

    def accept(self, key_id: str, model: str) -> float:
        """Write down that a key accepts a model's license, and when it did so first, in seconds since 1970. 403 if the license does
        not hold where the server is offered."""
        license = capabilities_named(model).license
        error = self._excluded(model, license)
        if error is not None:
            raise error
        terms = terms_digest(license)
        known = (acceptances.c.key_id == key_id) & (acceptances.c.model == model) & (acceptances.c.terms == terms)
        with self.database.writing() as db:
            accepted_at = db.scalar(select(acceptances.c.at).where(known))
            if accepted_at is None:
                accepted_at = self.database.now(db)
                row = {"key_id": key_id, "model": model, "terms": terms, "at": accepted_at}
                db.execute(acceptances.insert().values(**row, license=license.name[:MOST_NAME]))
                detail = {"license": license.name, "terms": terms}
                db.execute(
                    audit.insert().values(
                        at=accepted_at, key_id=key_id, action="license.accepted", target=model[:80], detail=detail
                    )
                )
        return float(accepted_at)

    def _excluded(self, model: str, license: License) -> ApiError | None:
        where = excluded_from(license, self.territories)
        if not where:
            return None
        return ApiError(
            403, f"the license of {model} ({license.name}) does not hold in {', '.join(where)}, where this server is offered; name "
            "another model", param="model", code="license_excludes_territory",
        )  # fmt: skip


def _not_accepted(model: str, license: License) -> ApiError:
    return ApiError(
        403, f"{model} films under a license that must be accepted ({terms_of(license)}); read it, then accept it once for this "
        f'key: POST /v1/models/{model}/license with {{"accept": true}}', param="model", code="license_not_accepted",
    )  # fmt: skip
