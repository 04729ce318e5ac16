"""The exit codes of the command line."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0


EXIT_FAILED: Final = 1
"""The run did not end well, the manifest is wrong, or the cluster refused."""


EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""
