"""The errors that Kinema raises, as one tree.

    KinemaError
    ├── InputError (ValueError)        a value the user gave: what came, what was expected, how to mend it
    │   ├── MediaError                 a file that is missing, empty, corrupt, disguised, or without pictures
    │   ├── SizeError                  a size, duration or rate that the model or the machine cannot do
    │   ├── VocabularyError            words outside the model's world
    │   └── ModelError                 an unknown model, or weights that do not fit their config
    │       └── UnavailableModelError  an added model that cannot be opened: its folder moved, a file does not fit
    ├── OutputError (OSError)          the result could not be written: exists already, disk full, no permission
    ├── StorageError                   object storage could not be read or written; the request may be right
    ├── EngineError                    a model's own code failed: out of memory, crashed, hung, an upstream server gone
    └── ApiError                       a server answered with an error: its status, type, parameter and code

Every message is one line a person can act on. The `kinema` command prints it and ends with exit code 2.
"""

from typing import Any

MOST_ECHOED = 80
"""Characters of a text that an error or a warning repeats."""


def excerpt(text: str, most: int = MOST_ECHOED) -> str:
    """Shorten a text for a message.

    Args:
        text: Any text.
        most: Characters that are kept at most.

    Returns:
        The text, or its beginning and "..." if it is longer.
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


class KinemaError(Exception):
    """Base of all errors of Kinema."""


class InputError(KinemaError, ValueError):
    """A value that the user gave cannot be used.

    Args:
        args: One line: what came, what was expected, how to mend it.
        param: The parameter that it is about, by its name in a request. None: by no single one.
    """

    param: str | None = None

    def __init__(self, *args: object, param: str | None = None) -> None:
        super().__init__(*args)
        if param is not None:
            self.param = param


class MediaError(InputError):
    """A picture or video that cannot be read."""


class SizeError(InputError):
    """A size, duration or frame rate that the model or the machine cannot do."""


class VocabularyError(InputError):
    """Words outside the model's world."""

    param = "prompt"


class ModelError(InputError):
    """No such model, or its weights do not fit."""


class UnavailableModelError(ModelError):
    """A model that was added cannot be opened: its folder moved, a file does not fit, its device is not here. The message is for
    whoever keeps the model and may name files of this machine; `public` is what others are shown.

    Args:
        message: One line that whoever keeps the model can act on.
        model: The model's name.
    """

    def __init__(self, message: str, model: str = "") -> None:
        super().__init__(message)
        self.model = model

    @property
    def public(self) -> str:
        return unavailable(self.model)


def unavailable(model: str) -> str:
    """What clients of a server are shown of a model that it cannot open."""
    return f"{model} cannot be opened at this moment; whoever keeps this server finds the reason in its log"


class ModelListError(InputError):
    """The file of added models cannot be read at this moment: it is being edited, perhaps."""


class OutputError(KinemaError, OSError):
    """The result could not be written. Nothing was overwritten."""


class StorageError(KinemaError):
    """Object storage does not answer, or refuses to be read or written; the request may be right."""


class DivergedError(KinemaError):
    """A training whose loss is no number any more."""


class EngineError(KinemaError):
    """A model's own code, or a server that films for this one, failed; the request may be right.

    Args:
        message: One line that a person can act on.
        code: A short name of the reason: "out_of_memory", "engine_crashed", "engine_stalled", "engine_failed",
            "upstream_failed", "upstream_lost".
    """

    def __init__(self, message: str, code: str = "engine_failed") -> None:
        super().__init__(message)
        self.code = code


class ApiError(KinemaError):
    """A server answered with an error.

    Args:
        status: HTTP status.
        message: One line that a person can act on.
        type: Kind of error, as in the payload. None: the usual one of the status.
        param: The parameter that was refused, if it was one.
        code: A short name of the reason, such as "rate_limit_exceeded".
        headers: Response headers, such as "retry-after".
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.type = type or API_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.headers = headers or {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.message), vars(self)

    def body(self) -> dict[str, object]:
        """Return the payload of the response: {"error": {"message", "type", "param", "code"}}."""
        body = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": body}


API_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""The usual type of error of an HTTP status."""
