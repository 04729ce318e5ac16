"""Names that Prefect has and Penstock does not, and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.errors import NotOfferedError

_LIMIT: Final = "set task_runner=ThreadPoolTaskRunner(max_workers=...) on the flow, or `concurrency` on the Flow"
NAMES: Final[Mapping[str, str]] = {
    "get_client": "there is no server; runs are in the Kubernetes API: kubectl get flowruns",
    "suspend_flow_run": "use `penstock suspend` for runs in a cluster; pause_flow_run waits at the terminal",
    "resume_flow_run": "resume a paused run at its terminal, and a killed one by running its script with --resume",
    "concurrency": f"there are no limits across flows yet; {_LIMIT}",
    "rate_limit": f"there are no limits across flows yet; {_LIMIT}, and sleep in the task",
    "aserve": "use serve(), in a script without an event loop",
    "adeploy": "use deploy(); in a coroutine, asyncio.to_thread(deploy, ...)",
    "arun_deployment": "use run_deployment(); in a coroutine, asyncio.to_thread(run_deployment, ...)",
}
MODULES: Final[Mapping[str, str]] = {
    "assets": "create artifacts; for triggers, write a Schedule with events: docs/events.md",
    "automations": "write a Schedule with events: docs/events.md",
    "blocks": "set environment variables from a Secret or ConfigMap, and use the library that the block wraps",
    "client": NAMES["get_client"],
    "concurrency": NAMES["concurrency"],
    "context": "use penstock.runtime",
    "deployments": "import run_deployment and deploy from penstock",
    "events": "write a Schedule with events: docs/events.md",
    "filesystems": "use the library that it wraps; results are stored in PENSTOCK_HOME",
    "input": "pass a type or a pydantic model to pause_flow_run(wait_for_input=...)",
    "serializers": "set result_serializer='json' or 'pickle'",
    "settings": "use environment variables: docs/python.md",
    "testing": "call the flow: no server is needed",
    "workers": "the operator starts runs",
}
"""Modules of Prefect."""


def refuse_module(name: str) -> None:
    """Say what to use instead of a module.

    Raises:
        NotOfferedError: it is a module of Prefect. Other names are ignored.
    """
    if (advice := MODULES.get(name.partition(".")[0])) is not None:
        raise NotOfferedError(f"penstock has no module {name!r}: {advice}")


def refuse(name: str) -> None:
    """Say what to use instead of a name.

    Raises:
        NotOfferedError: it is a name of Prefect. Other names are ignored.
    """
    if name in NAMES:
        raise NotOfferedError(f"penstock has no {name!r}: {NAMES[name]}")
