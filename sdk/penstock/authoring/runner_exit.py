"""Exit codes of a task's Pod."""

from typing import Final

FAILED: Final = 1
"""The function raised."""
NOT_AGAIN: Final = 78
"""It would not help to try again: retry_condition_fn said so, the function left by SystemExit, or the code is not
there. EX_CONFIG of sysexits.h."""
