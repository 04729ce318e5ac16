"""One measurement of a Python SDK, in a process of its own. Run by bench/sdk.py, with the Python that has the SDK.

    python sdk_workload.py MODULE WHAT COUNT

prints one number as JSON. MODULE is `penstock` or `prefect`: what is measured is written once, with the names of both.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def measure(module_name: str, what: str, count: int) -> float:
    """Return one number.

    Args:
        module_name: the SDK.
        what: `import_ms`, `import_mb`, `runner_ms`, `flow_ms`, `submit`, `map` or `call`;
            the last three are tasks a second.
        count: how many flows or tasks.
    """
    began = time.perf_counter()
    if what == "runner_ms":
        importlib.import_module(f"{module_name}.runner.task")
        return (time.perf_counter() - began) * 1000
    module: Any = importlib.import_module(module_name)
    flow, task = module.flow, module.task
    if what == "import_ms":
        return (time.perf_counter() - began) * 1000
    if what == "import_mb":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    empty = flow(nothing)
    empty()  # whatever starts with the first flow (Prefect: its server) is not what is measured
    if what == "flow_ms":
        began = time.perf_counter()
        for _ in range(count):
            empty()
        return (time.perf_counter() - began) * 1000 / count
    return float(flow(run_tasks)(task(same), what, count))


def nothing() -> None:
    """Do nothing."""


def same(x: int) -> int:
    """Return the argument."""
    return x


def run_tasks(one: Any, what: str, count: int) -> float:
    """Return how many tasks a second were run."""
    began = time.perf_counter()
    if what == "map":
        one.map(list(range(count))).result()
    for i in range(0 if what == "map" else count):
        if what == "submit":
            one.submit(i).result()
        else:
            one(i)
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
