"""Commands that only Prefect's command line has, and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_RUNS: Final = "runs: penstock get, describe, logs, watch, cancel, retry, delete"
_POOLS: Final = "there are no work pools or workers: the operator of `penstock install` starts the Pods of runs"
_SERVER: Final = "there is no server: `penstock install` installs the operator, and `penstock doctor` checks it"
_LIMITS: Final = "set `concurrency` of a Flow; within a process, the variable PENSTOCK_LIMITS"
_BLOCKS: Final = "blocks are not registered: set PENSTOCK_SECRET_NAME, or call save() in Python: docs/python.md"
_SETTINGS: Final = "settings are environment variables (docs/python.md), and clusters are contexts of the kubeconfig"
_EVENTS: Final = "write a Schedule with `events`: docs/events.md"

PREFECT_COMMANDS: Final[Mapping[str, str]] = {
    "api": "use kubectl get --raw",
    "artifact": "artifacts are files in PENSTOCK_HOME; in the cluster, outputs: penstock describe RUN",
    "automation": _EVENTS,
    "automations": _EVENTS,
    "agent": _POOLS,
    "block": _BLOCKS,
    "blocks": _BLOCKS,
    "cloud": "there is no cloud: clusters are contexts of the kubeconfig",
    "concurrency-limit": _LIMITS,
    "config": _SETTINGS,
    "dashboard": "penstock watch RUN, penstock get, penstock graph RUN",
    "dev": _SERVER,
    "deployment": "penstock deploy FILE.py:FLOW deploys a flow, penstock run NAME starts it, penstock get flows lists"
    " Flows, penstock schedule lists and changes Schedules",
    "deployments": "penstock get flows",
    "event": _EVENTS,
    "events": _EVENTS,
    "flow": "penstock get flows; penstock run --local FILE.py:FLOW runs one on this machine",
    "flows": "penstock get flows",
    "flow-run": _RUNS,
    "flow-runs": _RUNS,
    "gcl": _LIMITS,
    "global-concurrency-limit": _LIMITS,
    "init": "write the flow, then penstock deploy FILE.py:FLOW",
    "profile": _SETTINGS,
    "profiles": _SETTINGS,
    "server": _SERVER,
    "shell": "write a task with `command` or `script` in a Flow",
    "task": "penstock describe RUN shows the tasks of a run; there is no task queue",
    "task-run": "penstock describe RUN shows the tasks of a run",
    "task-runs": "penstock describe RUN shows the tasks of a run",
    "transfer": "penstock backup, then penstock restore in the other cluster",
    "variable": "Variable.set in Python, or the environment variable PENSTOCK_VARIABLE_NAME: docs/python.md",
    "variables": "Variable.set in Python, or the environment variable PENSTOCK_VARIABLE_NAME: docs/python.md",
    "work-pool": _POOLS,
    "work-queue": _POOLS,
    "worker": _POOLS,
}
