"""What a person sees while a cluster is made: lines on standard error, so that standard output is for results."""

import sys
import time


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)


class Stopwatch:
    """Seconds since it was made, for lines such as `done in 4.1 s`."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def __str__(self) -> str:
        elapsed_s = self.elapsed_s
        if elapsed_s < 60:
            return f"{elapsed_s:.1f} s"
        return f"{int(elapsed_s // 60)} min {int(elapsed_s % 60)} s"
