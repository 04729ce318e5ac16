"""The work that is measured: as Penstock's objects, as plain Pods, and as an Indexed Job."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from penstock.api import names
from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ContainerInputs
from penstock.engine.workloads.pod import PodSettings, build_pod

API_VERSION: Final = "penstock.dev/v1alpha1"
IMAGE: Final = "busybox"
USER: Final = 65532
OWNER: Final = "owner"

SAME_PODS: Final = "bare loop of the same Pods"
"""A way: the cost of a Pod of Penstock when nothing is decided about it."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """One kind of work.

    Attributes:
        name: in the tables.
        pods: how many Pods it takes.
        runs: the FlowRuns to post, given whether Pods are tracked.
        flow: the Flow that the runs name, if they name one.
        has_job: whether an Indexed Job can do it.
        is_chain: whether its Pods come one after the other, so that there are hops to measure.
        bar: most times the bare loop's makespan, tracked and untracked.
    """

    name: str
    pods: int
    runs: Callable[[bool], list[Body]]
    flow: Body | None = None
    has_job: bool = False
    is_chain: bool = False
    bar: tuple[float | None, float | None] = (None, None)


def _run(name: str, spec: Body) -> Body:
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}


def _inline(tasks: list[Body]) -> Callable[[bool], list[Body]]:
    def runs(is_tracked: bool) -> list[Body]:  # noqa: FBT001 - the one argument
        spec: Body = {"defaults": {"image": IMAGE}, "tasks": tasks}
        return [_run("run", {"flowSpec": spec if is_tracked else {**spec, "trackPods": False}})]

    return runs


def _chain(length: int) -> list[Body]:
    return [{"name": f"t{n}", **({"dependsOn": [f"t{n - 1}"]} if n else {})} for n in range(length)]


def _lattice(tasks: int, width: int) -> list[Body]:
    return [
        {
            "name": f"t{n}",
            **({"dependsOn": [f"t{n - width}", f"t{n - width - n % width + (n + 1) % width}"]} if n >= width else {}),
        }
        for n in range(tasks)
    ]


def _random_graph(tasks: int) -> list[Body]:
    """Tasks that depend on up to three of the two hundred before them."""
    rng = random.Random(tasks)
    found: list[Body] = []
    for n in range(tasks):
        upstream = {f"t{rng.randrange(max(0, n - 200), n)}" for _ in range(rng.randint(0, 3) if n else 0)}
        found.append({"name": f"t{n}", "dependsOn": sorted(upstream)} if upstream else {"name": f"t{n}"})
    return found


def _many(count: int) -> Callable[[bool], list[Body]]:
    return lambda _is_tracked: [_run(f"run-{n}", {"flow": {"name": "flow"}}) for n in range(count)]


def _flow(tasks: list[Body]) -> Body:
    spec = {"defaults": {"image": IMAGE}, "tasks": tasks}
    return {"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": "flow"}, "spec": spec}


SHAPES: Final = (
    Shape("chain of 50", 50, _inline(_chain(50)), is_chain=True),
    Shape(
        "fan-out of 1,000",
        1000,
        _inline([{"name": "each", "forEach": {"count": 1000}}]),
        has_job=True,
        bar=(1.25, 1.10),
    ),
    Shape("1,000 runs of one task", 1000, _many(1000), flow=_flow([{"name": "main"}]), bar=(2.2, None)),
    Shape("200 runs of 10 tasks", 2000, _many(200), flow=_flow(_chain(10)), bar=(1.4, None)),
    Shape("lattice of 2,000", 2000, _inline(_lattice(2000, 20)), bar=(1.35, None)),
)


LARGE: Final = (
    Shape("random graph of 500", 500, _many(1), flow=_flow(_random_graph(500))),
    Shape("random graph of 5,000", 5000, _many(1), flow=_flow(_random_graph(5000))),
    Shape(
        "fan-out of 10,000, 500 at a time",
        10_000,
        _inline([{"name": "each", "forEach": {"count": 10_000}, "maxParallel": 500}]),
    ),
)
"""Shapes that ask whether it is done at all, and what it costs then."""


def bare_pod(number: int) -> Body:
    """Return a Pod like a task's, without anything that an orchestrator adds."""
    container = {
        "name": "main",
        "image": IMAGE,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}"},
        "spec": {
            "restartPolicy": "Never",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


def task_pods(pods: int, owner: str) -> Iterator[Body]:
    """Return the Pods of a fan-out as Penstock makes them, untracked, but such that the operator does not see them.

    Args:
        pods: how many.
        owner: uid of the ConfigMap `OWNER`, which stands for their run.
    """
    spec = {"defaults": {"image": IMAGE}, "tasks": [{"name": "each", "forEach": {"count": pods}}]}
    (task,) = compile_plan(FlowSpec.model_validate(spec)).tasks
    inputs = ContainerInputs(IMAGE, [], [])
    run = RunIdentity("", "run", owner)
    for number in range(pods):
        create = CreateAttempt(TaskInstanceKey("each", number), 1, 0, 0, inputs)
        pod = build_pod(create, task, run, flow=None, revision=None, settings=PodSettings(USER, is_tracked=False))
        metadata = pod["metadata"]
        del metadata["namespace"]
        metadata["labels"][f"{names.LABEL_RUN_UID}-unseen"] = metadata["labels"].pop(names.LABEL_RUN_UID)
        metadata["ownerReferences"][0] |= {"apiVersion": "v1", "kind": "ConfigMap", "name": OWNER}
        yield pod


def indexed_job(pods: int) -> Body:
    """Return an Indexed Job of so many Pods, all at once."""
    spec = bare_pod(0)["spec"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job"},
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": 0,
            "template": {"spec": spec},
        },
    }
