"""Names that Prefect has and Penstock has not, and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.errors import NotOfferedError

_CLUSTER: Final = "create a FlowRun, with kubectl or `penstock run`: docs/quickstart.md"
NAMES: Final[Mapping[str, str]] = {
    "deploy": _CLUSTER,
    "run_deployment": _CLUSTER,
    "get_client": "there is no server; the Kubernetes API has every run: kubectl get flowruns",
    "suspend_flow_run": "only a run in a cluster can be suspended; pause_flow_run waits at the terminal",
    "resume_flow_run": "a paused run is resumed at its terminal, a killed one by running its script with --resume",
    "concurrency": "give the flow task_runner=ThreadPoolTaskRunner(max_workers=...)",
    "rate_limit": "give the flow task_runner=ThreadPoolTaskRunner(max_workers=...), and wait inside of the task",
    "aserve": "call serve() outside of an event loop, in a program of its own",
    "adeploy": "call deploy(); in a coroutine by asyncio.to_thread(deploy, ...)",
    "arun_deployment": "call run_deployment(); in a coroutine by asyncio.to_thread(run_deployment, ...)",
}


def refuse(name: str) -> None:
    """Say what to use instead of a name.

    Raises:
        NotOfferedError: the name is one of Prefect's; nothing happens for others.
    """
    if name in NAMES:
        raise NotOfferedError(f"penstock has no {name!r}: {NAMES[name]}")
