"""Names of new runs, made from the name of their Flow."""

from __future__ import annotations

import secrets
from typing import Final

MAX_PREFIX: Final = 57
"""A run's name has at most 63 characters: this prefix, a hyphen and five random characters."""
RANDOM_CHARACTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The characters that the API server uses for `generateName`."""
RANDOM_LENGTH: Final = 5


def name_prefix(flow: str) -> str:
    """Return the prefix of a run's name, for `metadata.generateName`."""
    return f"{flow[:MAX_PREFIX].rstrip('.-')}-"


def random_suffix() -> str:
    """Return a suffix such as the API server adds to `metadata.generateName`."""
    return "".join(secrets.choice(RANDOM_CHARACTERS) for _ in range(RANDOM_LENGTH))
