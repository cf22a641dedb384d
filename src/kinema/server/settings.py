"""The settings of a server, shared by the server process and its workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kinema.engines.catalog import model_names
from kinema.engines.host import STALL_S
from kinema.engines.licenses import parse_territory
from kinema.errors import InputError
from kinema.server.proxies import check_origin_name, check_root_path, network_of
from kinema.server.storage.engine import sqlite_url
from kinema.server.storage.remote import check_address


@dataclass(frozen=True, kw_only=True)
class Settings:
    """data: the folder that holds everything. database: postgresql://..., or None for SQLite in the data folder. artifacts: an
    address of object storage where films and uploads lie instead, such as s3://bucket/prefix.

    batch: how many jobs of one shape run together at most. label: put a visible mark on every video. moderation:
    package.module:object that may refuse prompts and frames; blocked: a file of words that prompts must not contain, one a line.
    chain, key: the operator's own certificates. remote: whether pictures may be fetched from public addresses. private_webhooks:
    whether webhooks may be delivered to private addresses. retention_days: how long videos are stored; audit_days: how long lines
    of the audit log are. threads: of each worker; None: as torch chooses. device: where models compute: "auto", "cpu", "cuda" or
    "mps". aliases: other names for installed models, by which requests may ask for them. any_prompt: whether prompts are filmed
    that name nothing a model knows. max_seconds, max_steps: the longest video and the most steps of a plan that may be asked for.
    max_upload: the largest file that may be sent, in MiB.
    job_timeout_s: how long a worker may take for a video, which fails then; None: as long as it takes. stall_s: how long an open
    model may say nothing while it films before it is stopped. models: those that workers film with; none: all. root_path: the path
    below which a proxy shows the server, such as /kinema. trusted_proxies: addresses and networks whose X-Forwarded headers count.
    cors_origins: pages of other servers that may call the API with a key; "*": all. territories: where the server is offered, by
    country codes or "EU"; a model whose license does not hold in one of them is refused. llm, llm_model: the address and the name
    of a language model that plans productions for those who ask for it; None: there is none.
    """

    data: Path
    database: str | None = None
    artifacts: str | None = None
    batch: int = 4
    label: bool = False
    moderation: str | None = None
    blocked: Path | None = None
    chain: Path | None = None
    key: Path | None = None
    remote: bool = False
    private_webhooks: bool = False
    retention_days: float = 30.0
    audit_days: float = 365.0
    threads: int | None = None
    device: str = "auto"
    aliases: dict[str, str] = field(default_factory=dict)
    any_prompt: bool = False
    max_seconds: float = 600.0
    max_steps: int = 200
    max_upload: int = 64
    job_timeout_s: float | None = None
    stall_s: float = STALL_S
    models: list[str] = field(default_factory=list)
    root_path: str = ""
    trusted_proxies: list[str] = field(default_factory=lambda: ["127.0.0.1", "::1"])
    cors_origins: list[str] = field(default_factory=list)
    territories: list[str] = field(default_factory=list)
    llm: str | None = None
    llm_model: str | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"batch {self.batch}: expected at least 1")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads {self.threads}: expected at least 1")
        for what, limit in (
            ("seconds", self.max_seconds),
            ("steps", self.max_steps),
            ("upload", self.max_upload),
            ("job timeout", self.job_timeout_s),
            ("stall", self.stall_s),
        ):
            if limit is not None and not limit > 0:
                raise InputError(f"{what} {limit}: expected more than 0")
        for what, days in (("videos", self.retention_days), ("the audit log", self.audit_days)):
            if not days > 0:
                raise InputError(f"{what} kept {days} days: expected more than 0")
        if (self.chain is None) != (self.key is None):
            raise InputError("a certificate chain and its key belong together; give both or neither")
        for alias, model in self.aliases.items():
            if model not in model_names():
                raise InputError(f"alias {alias}={model}: there is no such model; there are {', '.join(model_names())}")
        for name in self.models:
            if name not in model_names():
                raise InputError(f"model {name}: there is no such model; there are {', '.join(model_names())}")
        for territory in self.territories:
            if parse_territory(territory) != territory:
                raise InputError(f"territory {territory!r}: expected {parse_territory(territory)}")
        if self.artifacts is not None:
            check_address(self.artifacts)
        if (self.llm is None) != (self.llm_model is None):
            raise InputError("the address of a language model and its name belong together; give both or neither")
        if self.llm is not None and not self.llm.startswith(("http://", "https://")):
            raise InputError(f"language model {self.llm!r}: expected an address such as http://127.0.0.1:11434/v1")
        check_root_path(self.root_path)
        for proxy in self.trusted_proxies:
            network_of(proxy)
        for origin in self.cors_origins:
            check_origin_name(origin)
        if self.blocked is not None and not self.blocked.is_file():
            raise InputError(f"the list of blocked words {self.blocked} is no file")

    @property
    def url(self) -> str:
        return self.database or sqlite_url(self.data)

    def to_json(self) -> str:
        """The settings as JSON, for the workers that the server starts."""
        return json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()})

    @staticmethod
    def from_json(text: str) -> Settings:
        values = json.loads(text)
        for name in ("data", "blocked", "chain", "key"):
            values[name] = None if values[name] is None else Path(values[name])
        return Settings(**values)
