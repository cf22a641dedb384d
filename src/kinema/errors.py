"""What can go wrong, as one tree.

    KinemaError
    ├── InputError (ValueError)        a value the user gave: what came, what was expected, the mend
    │   ├── MediaError                 a file that is missing, empty, corrupt, disguised, or without pictures
    │   ├── SizeError                  a size, duration or rate that the model or the machine cannot do
    │   ├── VocabularyError            words outside the model's world
    │   └── ModelError                 an unknown model, or weights that do not fit their config
    └── OutputError (OSError)          the result could not be written: exists already, disk full, no permission

Every message is one line a person can act on. `cli/` prints it and leaves with exit code 2.
"""


class KinemaError(Exception):
    """Base of everything Kinema raises on purpose."""


class InputError(KinemaError, ValueError):
    """A value that the user gave cannot be used."""


class MediaError(InputError):
    """A picture or video that cannot be read."""


class SizeError(InputError):
    """A size, duration or frame rate out of reach."""


class VocabularyError(InputError):
    """Words outside the model's world."""


class ModelError(InputError):
    """No such model, or its weights do not fit."""


class OutputError(KinemaError, OSError):
    """The result could not be written; nothing was overwritten."""
