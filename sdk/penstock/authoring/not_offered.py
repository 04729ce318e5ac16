"""Names that Prefect has and Penstock has not, and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.errors import NotOfferedError

_LIMIT: Final = "give the flow task_runner=ThreadPoolTaskRunner(max_workers=...), or a Flow its concurrency"
NAMES: Final[Mapping[str, str]] = {
    "get_client": "there is no server; the Kubernetes API has every run: kubectl get flowruns",
    "suspend_flow_run": "only a run in a cluster can be suspended; pause_flow_run waits at the terminal",
    "resume_flow_run": "a paused run is resumed at its terminal, a killed one by running its script with --resume",
    "concurrency": f"limits that flows share come later; until then {_LIMIT}",
    "rate_limit": f"limits that flows share come later; until then {_LIMIT}, and wait inside of the task",
    "aserve": "call serve() outside of an event loop, in a program of its own",
    "adeploy": "call deploy(); in a coroutine by asyncio.to_thread(deploy, ...)",
    "arun_deployment": "call run_deployment(); in a coroutine by asyncio.to_thread(run_deployment, ...)",
}
MODULES: Final[Mapping[str, str]] = {
    "assets": "write artifacts; what follows from them are events of a Schedule: docs/events.md",
    "automations": "write a Schedule with events: docs/events.md",
    "blocks": "give it in the environment, from a Secret or a ConfigMap, and use the library that the block wraps",
    "client": NAMES["get_client"],
    "concurrency": NAMES["concurrency"],
    "context": "use penstock.runtime",
    "deployments": "import run_deployment and deploy from penstock",
    "events": "write a Schedule with events: docs/events.md",
    "filesystems": "use the library that it wraps; results go to PENSTOCK_HOME",
    "input": "give pause_flow_run a type, or a pydantic model",
    "serializers": "write result_serializer='json' or 'pickle'",
    "settings": "the environment has them: docs/python.md",
    "testing": "call the flow: it needs no server",
    "workers": "the operator starts what is due",
}
"""Modules of Prefect."""


def refuse_module(name: str) -> None:
    """Say what to use instead of a module.

    Raises:
        NotOfferedError: the module is one of Prefect's; nothing happens for others.
    """
    if (advice := MODULES.get(name.partition(".")[0])) is not None:
        raise NotOfferedError(f"penstock has no module {name!r}: {advice}")


def refuse(name: str) -> None:
    """Say what to use instead of a name.

    Raises:
        NotOfferedError: the name is one of Prefect's; nothing happens for others.
    """
    if name in NAMES:
        raise NotOfferedError(f"penstock has no {name!r}: {NAMES[name]}")
