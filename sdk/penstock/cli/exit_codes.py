"""The exit codes of the command line."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0


EXIT_FAILED: Final = 1
"""The run failed, the manifest is invalid, or the cluster rejected the request."""


EXIT_SKIPPED: Final = 3
"""The run ended as Skipped: nothing was done."""


EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as in shells."""
