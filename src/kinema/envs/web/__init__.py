"""A world as a folder of static files that plays in a browser, without a server (`kinema export web`)."""

from kinema.envs.web.export import WebExport, export_web
from kinema.envs.web.live import export_live_web
from kinema.envs.web.runtime import RUNTIME_VERSION, fetch_runtime

__all__ = ["RUNTIME_VERSION", "WebExport", "export_live_web", "export_web", "fetch_runtime"]
