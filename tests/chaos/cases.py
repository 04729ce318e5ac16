"""Cases: objects to create, what is done to them, and how each of their runs must end. A seed decides all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from penstock.api import names
from tests.api.scene import task

Body = dict[str, Any]

RETRIES = {"infrastructure": 1000, "delay": "200ms"}
"""Of every task: a Pod may be deleted as often as chaos likes."""
COMPLETED = frozenset({"Completed"})
REUSED = frozenset({"Completed", "Cached"})


class End(NamedTuple):
    """How a run must end.

    Attributes:
        state: of the run; empty: it was deleted.
        tasks: the states of which each task must have one.
        items: how many items of a fan-out must be Completed.
    """

    state: str
    tasks: Mapping[str, frozenset[str]] = {}
    items: Mapping[str, int] = {}


class Act(NamedTuple):
    """What a person does to a run: a merge patch of its spec, once the run is in this state."""

    run: str
    state: str
    patch: Body


@dataclass
class Case:
    """Objects with a known end.

    Attributes:
        name: prefix of the names of all its objects.
        objects: to create, in this order.
        ends: by name of the run.
        acts: what is done to its runs.
        derived: how many further runs there must be in the end, by label: those of a Schedule, a Backfill or a parent.
        flow_limit: most runs of its Flow that may have Pods at once; 0: no limit.
        may_be_deleted: its runs may be deleted at any time.
        may_be_edited: its Flow may be edited or replaced, and its runs suspended, at any time.
    """

    name: str
    objects: list[Body] = field(default_factory=list)
    ends: dict[str, End] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    derived: list[tuple[str, str, int]] = field(default_factory=list)
    flow_limit: int = 0
    may_be_deleted: bool = False
    may_be_edited: bool = True

    def add_flow(self, *tasks: Body, name: str = "", last: tuple[Body, ...] = (), **more: Any) -> str:
        name = name or self.name
        spec = {"defaults": {"retry": RETRIES}, "tasks": list(tasks), "finally": list(last), **more}
        self.objects.append(_object("Flow", name, spec))
        return name

    def add_run(self, end: End, flow: str = "", suffix: str = "", **spec: Any) -> str:
        name = f"{self.name}{suffix}"
        self.objects.append(_object("FlowRun", name, {"flow": {"name": flow or self.name}, **spec}))
        self.ends[name] = end
        return name


def _object(kind: str, name: str, spec: Body, **metadata: Any) -> Body:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def draw_cases(rng: Random) -> Iterator[Case]:
    """Draw cases forever; every kind comes once before one comes again."""
    number = 0
    while True:
        for build in rng.sample(KINDS, len(KINDS)):
            case = Case(f"{build.__name__.strip('_').replace('_', '-')}-{number}")
            build(case, rng)
            yield case
            number += 1


def _time(rng: Random) -> str:
    return f"{rng.choice((50, 200, 500, 1000, 2000))}ms"


def _graph(case: Case, rng: Random) -> None:
    """Tasks in a random order of dependencies; some fail or are skipped, and the others continue."""
    states: dict[str, str] = {}
    tasks = []
    for index in range(rng.randint(3, 6)):
        name = f"t{index}"
        needs = [other for other in states if rng.random() < 0.4]
        more: dict[str, Any] = {"dependsOn": needs} if needs else {}
        state = "Completed"
        if any(states[other] != "Completed" for other in needs):
            state = "Skipped"
        elif rng.random() < 0.15:
            state, more["when"] = "Skipped", "false"
        elif rng.random() < 0.2:
            state, more["pod_exit_code"] = "Failed", "3"
        elif rng.random() < 0.3:
            more |= {"pod_exit_code": "1,1,0", "retry": {**RETRIES, "limit": 2}}
        states[name] = state
        tasks.append(task(name, pod_run_for=_time(rng), **more))
    case.add_flow(*tasks, failurePolicy="Continue")
    state = "Failed" if "Failed" in states.values() else "Completed"
    case.add_run(End(state, {name: frozenset({one}) for name, one in states.items()}))


def _fan_out(case: Case, rng: Random) -> None:
    count = rng.randint(4, 12)
    each = task("each", forEach={"count": "$(tasks.first.outputs.n)"}, maxParallel=rng.randint(2, 6),
                retry={**RETRIES, "limit": 1}, pod_exit_code="1,0", pod_run_for=_time(rng))  # fmt: skip
    first = task("first", pod_outputs=f'{{"n": {count}}}', pod_run_for=_time(rng))
    case.add_flow(first, each, task("last", dependsOn=["each"]))
    case.add_run(End("Completed", dict.fromkeys(("first", "each", "last"), COMPLETED), {"each": count}))


def _jobs(case: Case, rng: Random) -> None:
    count = rng.randint(2, 5)
    each = task("each", workload="Job", forEach={"count": count}, maxParallel=2, pod_run_for=_time(rng),
                retry={**RETRIES, "limit": 1}, pod_exit_code="1,0")  # fmt: skip
    case.add_flow(each, task("last", workload="Job", dependsOn=["each"], pod_run_for=_time(rng)))
    case.add_run(End("Completed", {"each": COMPLETED, "last": COMPLETED}, {"each": count}))


def _finally(case: Case, rng: Random) -> None:
    fails = rng.random() < 0.5
    main = task("main", pod_run_for=_time(rng), pod_exit_code="3" if fails else "0")
    case.add_flow(main, last=(task("clean", pod_run_for=_time(rng)), task("report", dependsOn=["clean"])))
    state = "Failed" if fails else "Completed"
    case.add_run(End(state, {"main": frozenset({state}), "clean": COMPLETED, "report": COMPLETED}))


def _child(case: Case, rng: Random) -> None:
    inner = case.add_flow(task("work", pod_run_for=_time(rng), pod_outputs='{"x": 1}'), name=f"{case.name}-inner",
                          outputs={"x": "$(tasks.work.outputs.x)"})  # fmt: skip
    count = rng.randint(1, 3)
    calls = [{"name": f"call{index}", "flow": {"name": inner}} for index in range(count)]
    case.add_flow(*calls, task("last", args=["$(tasks.call0.outputs.x)"]))
    states = dict.fromkeys([*(f"call{index}" for index in range(count)), "last"], COMPLETED)
    run = case.add_run(End("Completed", states))
    case.derived.append((names.LABEL_PARENT, run, count))


def _cache(case: Case, rng: Random) -> None:
    cached = task("load", cache={"key": "x"}, pod_run_for=_time(rng), pod_outputs='{"x": 1}')
    case.add_flow(cached, task("last", args=["$(tasks.load.outputs.x)"]))
    for index in range(rng.randint(2, 3)):
        case.add_run(End("Completed", {"load": REUSED, "last": COMPLETED}), suffix=f"-{index}")


def _approval(case: Case, rng: Random) -> None:
    case.add_flow(task("first", pod_run_for=_time(rng)), {"name": "sign-off", "approval": {}, "dependsOn": ["first"]},
                  task("last", dependsOn=["sign-off"]))  # fmt: skip
    is_approved = rng.random() < 0.7
    states = ("Completed", "Completed") if is_approved else ("Failed", "Skipped")
    ends = {"first": COMPLETED, "sign-off": frozenset({states[0]}), "last": frozenset({states[1]})}
    run = case.add_run(End("Completed" if is_approved else "Failed", ends))
    decision = {"task": "sign-off", "decision": "Approve" if is_approved else "Reject"}
    case.acts.append(Act(run, "Paused", {"approvals": [decision]}))
    # Suspended as well, it would be Paused before anybody is to decide.
    case.may_be_edited = False


def _workspace(case: Case, rng: Random) -> None:
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": case.name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": case.name,
            "hostPath": {"path": "/nowhere"},
        },
    }
    case.objects.append(volume)
    tasks = [task("a", pod_run_for=_time(rng)), task("b", dependsOn=["a"], pod_run_for=_time(rng))]
    case.add_flow(*tasks, workspace={"size": "1Mi", "storageClassName": case.name})
    case.add_run(End("Completed", {"a": COMPLETED, "b": COMPLETED}))


def _limited(case: Case, rng: Random) -> None:
    case.flow_limit = rng.randint(1, 2)
    tasks = [task("a", pod_run_for=_time(rng)), task("b", dependsOn=["a"], pod_run_for=_time(rng))]
    case.add_flow(*tasks, concurrency={"limit": case.flow_limit})
    for index in range(rng.randint(3, 5)):
        case.add_run(End("Completed", {"a": COMPLETED, "b": COMPLETED}), suffix=f"-{index}")
    # A run that is suspended keeps its slot; one whose Flow is replaced has another limit.
    case.may_be_edited = False


def _cancelled(case: Case, rng: Random) -> None:
    mode = rng.choice(("Cancel", "Terminate"))
    case.add_flow(task("long", pod_outcome="run", pod_stop_after=_time(rng)), task("last", dependsOn=["long"]),
                  last=(task("clean"),))  # fmt: skip
    clean = COMPLETED if mode == "Cancel" else frozenset({"Skipped", "Cancelled"})
    run = case.add_run(End("Cancelled", {"long": frozenset({"Cancelled"}), "clean": clean}))
    case.acts.append(Act(run, "Running", {"shutdown": mode}))
    case.may_be_edited = False


def _doomed(case: Case, rng: Random) -> None:
    case.add_flow(task("each", forEach={"count": rng.randint(3, 8)}, pod_outcome="run", pod_stop_after=_time(rng)),
                  task("job", workload="Job", pod_outcome="run"))  # fmt: skip
    case.add_run(End(""))
    case.may_be_deleted = True
    case.may_be_edited = False


def _schedule(case: Case, rng: Random) -> None:
    flow = {"defaults": {"retry": RETRIES}, "tasks": [task(pod_run_for=_time(rng))]}
    spec = {
        "cron": ["* * * * *"],
        "onMissed": {"policy": "All"},
        "history": {"completed": 1000, "failed": 1000},
        "runTemplate": {"spec": {"flowSpec": flow}},
    }
    case.objects.append(_object("Schedule", case.name, spec))


def _backfill(case: Case, rng: Random) -> None:
    flow = {"defaults": {"retry": RETRIES}, "tasks": [task(pod_run_for=_time(rng))]}
    days = rng.randint(2, 4)
    schedule = {"cron": ["@daily"], "suspend": True, "runTemplate": {"spec": {"flowSpec": flow}}}
    case.objects.append(_object("Schedule", case.name, schedule))
    period = {"from": "2026-10-01T00:00:00Z", "to": f"2026-10-0{1 + days}T00:00:00Z"}
    spec = {"schedule": {"name": case.name}, "maxActive": rng.randint(1, 2), **period}
    case.objects.append(_object("Backfill", case.name, spec))
    case.derived.append((names.LABEL_BACKFILL, case.name, days))


KINDS: list[Callable[[Case, Random], None]] = [
    _graph,
    _fan_out,
    _jobs,
    _finally,
    _child,
    _cache,
    _approval,
    _workspace,
    _limited,
    _cancelled,
    _doomed,
    _schedule,
    _backfill,
]
