"""The operator with bugs that nobody foresaw: work about an object whose name begins with `broken-` raises an error.

Each is at another place, which the name says. The bugs are there as long as a file exists, whose path is in
$PENSTOCK_TEST_BUGS.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

from penstock.engine.machine.machine import Machine
from penstock_operator.__main__ import main
from penstock_operator.backfills import controller as backfills
from penstock_operator.flows.store import FlowStore
from penstock_operator.runs.attempts import pods
from penstock_operator.runs.attempts.pods import AttemptPods
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.start import RunStarter
from penstock_operator.schedules.plan import Plan

BUGS = Path(os.environ["PENSTOCK_TEST_BUGS"])


def break_at(owner: Any, function: str, prefix: str, position: int, name: str) -> None:
    """Have a function raise for some objects.

    Args:
        owner: class or module of the function.
        function: its name.
        prefix: of the names of these objects.
        position: of the argument that has the name.
        name: where the argument has it, as attributes.
    """
    original, read = getattr(owner, function), attrgetter(name)

    def check(args: tuple[Any, ...]) -> None:
        if args[position] is not None and read(args[position]).startswith(prefix) and BUGS.exists():
            raise LookupError(f"a bug\nfor {prefix}")

    @functools.wraps(original)
    def broken(*args: Any, **kwargs: Any) -> Any:
        check(args)
        return original(*args, **kwargs)

    @functools.wraps(original)
    async def broken_later(*args: Any, **kwargs: Any) -> Any:
        check(args)
        return await original(*args, **kwargs)

    setattr(owner, function, broken_later if inspect.iscoroutinefunction(original) else broken)


break_at(RunStarter, "load_run", "broken-load", 1, "metadata.name")
break_at(RunStarter, "start_run", "broken-start", 1, "key.name")
break_at(Machine, "advance", "broken-step", 0, "identity.name")
break_at(Machine, "take_changes", "broken-status", 0, "identity.name")
break_at(Machine, "mark_stored", "broken-stored", 0, "identity.name")
break_at(AttemptPods, "_handle_pod", "broken-pod", 1, "key.name")
break_at(AttemptPods, "create_attempt", "broken-create", 1, "key.name")
break_at(pods, "build_pod", "broken-build", 2, "name")
break_at(CacheStore, "get_entry", "cache-", 1, "name")
break_at(FlowStore, "compile", "broken-flow", 1, "name")
break_at(Plan, "from_schedule", "broken-schedule", 0, "metadata.name")
break_at(backfills, "parse_valid_backfill", "broken-backfill", 0, "metadata.name")

if __name__ == "__main__":
    sys.exit(main())
