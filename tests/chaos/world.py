"""A cluster, two operators, cases and faults, for some minutes; then calm, and a look at what is left."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.error import HTTPError

from penstock.api import names
from penstock.engine.state import FINAL_RUN_STATES
from tests.chaos.cases import Act, Body, Case, draw_cases
from tests.chaos.control_plane import ControlPlane
from tests.chaos.faults import FAULTS, RequestsBroken
from tests.chaos.judge import Judge, wrong_ends
from tests.chaos.ledger import history
from tests.chaos.operators import LEASE, Operator
from tests.cluster.handle import Cluster
from tests.cluster.progress import Stopwatch

NAMESPACES = ("chaos-a", "chaos-b")
MOST_CASES = 8
"""Unfinished at once."""
PACE_S = 0.4
"""Between two faults, on the average."""
LOOK_S = 1.0
"""How often people look at their runs."""
SCHEDULE_S = 100.0
"""After which a Schedule is suspended: at least one of its ticks has come."""
PATIENCE_S = 3.0
"""For an answer of the API server: what comes next must not wait for one that is away."""
CALM_S = 180.0
"""In which everything ends after the last fault: a replica that was stopped for long starts again, and so on."""
LEFT_S = 120.0
"""In which nothing is left of runs that were deleted; a finalizer may take half a minute."""
MERGE = "application/merge-patch+json"
OURS = f"/apis/{names.GROUP}/{names.VERSION}"
PLURALS = {"Flow": "flows", "FlowRun": "flowruns", "Schedule": "schedules", "Backfill": "backfills"}

Place = tuple[str, str]
"""Namespace and name."""


class Verdict(NamedTuple):
    """What came out."""

    faults: Counter[str]
    cases: Counter[str]
    pods: int
    violations: list[str]
    took: str
    """How long it took until all had ended, and until nothing was left."""

    def __str__(self) -> str:
        lines = [f"{sum(self.faults.values())} faults:"]
        lines += [f"  {name:20} {count:5}" for name, count in sorted(self.faults.items())]
        lines.append(f"{sum(self.cases.values())} cases with {self.pods} Pods:")
        lines += [f"  {name:20} {count:5}" for name, count in sorted(self.cases.items())]
        lines.append(self.took)
        lines.append(f"violations: {len(self.violations)}")
        lines += [f"  {violation}" for violation in self.violations[:60]]
        return "\n".join(lines)


class World:
    """Everything that a seed decides about, and the loop in which it happens.

    Args:
        cluster: with fake nodes, of its own: its control plane is killed.
        folder: for logs.
        seed: decides about cases and faults, not about the moment at which they meet.
        longest_pause_s: of an operator.
    """

    def __init__(self, cluster: Cluster, folder: Path, *, seed: int, longest_pause_s: float = 30.0) -> None:
        self.plane = ControlPlane(cluster)
        self.longest_pause_s = longest_pause_s
        self.lease_path = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{LEASE}"
        self._folder = folder
        self._rng = Random(seed)
        self._places = Random(f"{seed}/places")
        self._new_cases = draw_cases(Random(f"{seed}/cases"))
        self._cases: list[tuple[str, Case]] = []
        self._unfinished: list[tuple[str, Case]] = []
        self._runs: dict[str, dict[str, Any]] = {namespace: {} for namespace in NAMESPACES}
        self._seen: set[Place] = set()
        self._acted: set[Place] = set()
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._to_do: list[Callable[[], bool]] = []
        self._faults: Counter[str] = Counter()
        self._pace = threading.Event()
        self._looks_at = 0.0

    def run(self, minutes: float) -> Verdict:
        """Break things for so long, and judge."""
        self._prepare()
        try:
            ends_at = time.monotonic() + minutes * 60
            while time.monotonic() < ends_at:
                while sum(not case.may_be_deleted for _, case in self._unfinished) < MOST_CASES:
                    self._begin(next(self._new_cases))
                self._strike()
                self._carry_on()
                # The pace of what happens: nothing is waited for.
                self._pace.wait(self._rng.uniform(0, 2 * PACE_S))
            return self._conclude()
        finally:
            for operator in self.operators:
                operator.close()

    def _prepare(self) -> None:
        self.plane.prepare()
        connection = self.plane.install()
        for namespace in NAMESPACES:
            self.plane.server.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.operators = [Operator(label, connection, self._folder) for label in ("one", "two")]

    def _conclude(self) -> Verdict:
        """Let everything end, delete it, and judge what is left and what had been."""
        calm = Stopwatch()
        for operator in self.operators:
            operator.heal()
        self._faults[RequestsBroken.__name__] = sum(operator.broken_requests for operator in self.operators)
        self.plane.bring_all_back()
        self.plane.renew_clients()
        self._later = [(0.0, action) for _, action in self._later]
        self._until(self._is_settled, CALM_S)
        took = f"all had ended after {calm}"
        self._look()
        found = [
            f"{namespace}, case {case.name}: {wrong}"
            for namespace, case in self._cases
            for wrong in wrong_ends(case, self._runs[namespace])
        ]
        found += self._unfinished_runs()
        clean_up = Stopwatch()
        found += self._leftovers()
        took += f", and nothing was left after {clean_up} more"
        for operator in self.operators:
            operator.close()
            found += operator.unexpected_errors()
        limits = {(namespace, case.name): case.flow_limit for namespace, case in self._cases if case.flow_limit}
        judge = Judge(limits)
        judge.read(history(self.plane.etcd))
        cases = Counter(case.name.rpartition("-")[0] for _, case in self._cases)
        return Verdict(self._faults, cases, judge.pods, judge.violations + found, took)

    # The loop

    def _begin(self, case: Case) -> None:
        namespace = self._places.choice(NAMESPACES)
        self._cases.append((namespace, case))
        self._unfinished.append((namespace, case))
        for body in case.objects:
            self._to_do.append(partial(self._create, namespace, body))
            if body["kind"] == "Schedule":
                self.later(SCHEDULE_S, partial(self._suspend, namespace, body["metadata"]["name"]))

    def _suspend(self, namespace: str, schedule: str) -> None:
        self.must_patch("schedules", namespace, schedule, {"spec": {"suspend": True}})

    def _strike(self) -> None:
        (fault,) = self._rng.choices(FAULTS, [fault.weight for fault in FAULTS])
        # What the fault chooses does not change what comes after it.
        if fault.strike(self, Random(self._rng.random())):
            self._faults[type(fault).__name__] += 1

    def _carry_on(self) -> None:
        """Do what is due, and what others do all the time: start again what ended, and look at runs."""
        now = time.monotonic()
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action()
        self.plane.keep_running()
        for operator in self.operators:
            operator.keep_running()
        # In order: a run is created after its Flow.
        while self._to_do and self._to_do[0]():
            self._to_do.pop(0)
        if now >= self._looks_at:
            self._look()
            self._act()
            # To look at many runs takes long, and must not be all that is done.
            self._looks_at = now + LOOK_S + 3 * (time.monotonic() - now)

    def _look(self) -> None:
        for namespace in NAMESPACES:
            listed = self.call("GET", f"{OURS}/namespaces/{namespace}/flowruns")
            if listed is not None:
                self._runs[namespace] = {run["metadata"]["name"]: run for run in listed["items"]}
        self._unfinished = [
            (namespace, case)
            for namespace, case in self._unfinished
            if not self._has_ended(namespace, case) and case.ends
        ]

    def _act(self) -> None:
        for namespace, case in self._cases:
            for act in case.acts:
                if (namespace, act.run) not in self._acted and self._is_time_for(namespace, act):
                    self._acted.add((namespace, act.run))
                    self.must_patch("flowruns", namespace, act.run, {"spec": act.patch})

    def _is_time_for(self, namespace: str, act: Act) -> bool:
        status = self._runs[namespace].get(act.run, {}).get("status") or {}
        return bool(status.get("state") == act.state)

    def _has_ended(self, namespace: str, case: Case) -> bool:
        runs = self._runs[namespace]
        self._seen |= {(namespace, name) for name in runs}
        if case.may_be_deleted:
            return all((namespace, name) in self._seen and name not in runs for name in case.ends)
        return all(_state(runs.get(name, {})) in FINAL_RUN_STATES for name in case.ends)

    def _until(self, condition: Callable[[], bool], within_s: float) -> bool:
        ends_at = time.monotonic() + within_s
        while time.monotonic() < ends_at:
            self._carry_on()
            if condition():
                return True
            self._pace.wait(PACE_S)
        return False

    # What people do

    def later(self, delay_s: float, action: Callable[[], object]) -> None:
        """Do something after a time."""
        self._later.append((time.monotonic() + delay_s, action))

    def call(self, method: str, path: str, body: Body | None = None, content: str = "application/json") -> Any:
        """Ask the API server as the administrator; None if it refuses or cannot be reached."""
        try:
            return self.plane.server.call(method, path, body, content, timeout_s=PATIENCE_S)
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def patch(self, plural: str, namespace: str, name: str, body: Body) -> bool:
        """Patch one of our objects."""
        return self.call("PATCH", f"{OURS}/namespaces/{namespace}/{plural}/{name}", body, MERGE) is not None

    def delete(self, plural: str, namespace: str, name: str) -> bool:
        """Delete one of our objects."""
        return self.call("DELETE", f"{OURS}/namespaces/{namespace}/{plural}/{name}") is not None

    def must_patch(self, plural: str, namespace: str, name: str, body: Body) -> None:
        """Patch one of our objects, and try again until the API server has answered."""
        path = f"{OURS}/namespaces/{namespace}/{plural}/{name}"
        self._to_do.append(lambda: self._is_done("PATCH", path, body, MERGE))

    def must_create_node(self, name: str) -> None:
        """Let a node join, and try again likewise."""
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        self._to_do.append(lambda: self._is_done("POST", "/api/v1/nodes", node))

    def must_create_flow(self, namespace: str, name: str) -> None:
        """Create a Flow of a case again."""
        flow = next(
            body for at, case in self._cases for body in case.objects if at == namespace and _is_flow(body, name)
        )
        self._to_do.append(lambda: self._create(namespace, flow))

    def _create(self, namespace: str, body: Body) -> bool:
        if body["kind"] == "PersistentVolume":
            return self._is_done("POST", "/api/v1/persistentvolumes", body)
        return self._is_done("POST", f"{OURS}/namespaces/{namespace}/{PLURALS[body['kind']]}", body)

    def _is_done(self, method: str, path: str, body: Body | None = None, content: str = "application/json") -> bool:
        """Whether the API server did it, or had done it before; False if it is to be asked again."""
        try:
            self.plane.server.call(method, path, body, content, timeout_s=PATIENCE_S)
        except HTTPError as error:
            if error.code in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                return True
            if error.code in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST):
                raise
            return False
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return True

    # Who is hit

    def random_pod(self, rng: Random) -> Place | None:
        """Return a task's Pod that has not finished, if there is one."""
        namespace = rng.choice(NAMESPACES)
        query = f"labelSelector={names.LABEL_RUN_UID}&fieldSelector=status.phase!=Succeeded,status.phase!=Failed"
        listed = self.call("GET", f"/api/v1/namespaces/{namespace}/pods?{query}")
        found = sorted(item["metadata"]["name"] for item in (listed or {}).get("items", ()))
        return (namespace, rng.choice(found)) if found else None

    def random_run(self, rng: Random, matches: Callable[[Case], bool]) -> Place | None:
        """Return an unfinished run of a case that matches."""
        found = [
            (namespace, name)
            for namespace, case in self._unfinished
            for name in case.ends
            if matches(case) and _state(self._runs[namespace].get(name, {})) not in {*FINAL_RUN_STATES, ""}
        ]
        return rng.choice(found) if found else None

    def random_flow(self, rng: Random) -> Place | None:
        """Return a Flow of a case that may be edited."""
        found = [
            (namespace, body["metadata"]["name"])
            for namespace, case in self._unfinished
            for body in case.objects
            if case.may_be_edited and body["kind"] == "Flow"
        ]
        return rng.choice(found) if found else None

    # The end

    def _is_settled(self) -> bool:
        if self._later or self._to_do:
            return False
        self._delete_doomed()
        waiting = [case for namespace, case in self._cases if wrong_ends(case, self._runs[namespace])]
        return not waiting and not self._unfinished_runs()

    def _delete_doomed(self) -> None:
        for namespace, case in self._cases:
            if case.may_be_deleted:
                for name in case.ends.keys() & self._runs[namespace].keys():
                    self.delete("flowruns", namespace, name)

    def _unfinished_runs(self) -> list[str]:
        doomed = {(namespace, name) for namespace, case in self._cases if case.may_be_deleted for name in case.ends}
        return [
            f"{namespace}: run {name} is still {_state(run) or 'without a state'}"
            for namespace, runs in self._runs.items()
            for name, run in runs.items()
            if _state(run) not in FINAL_RUN_STATES and (namespace, name) not in doomed
        ]

    def _leftovers(self) -> list[str]:
        """Delete everything that people made, and return what is left of it."""
        for namespace in NAMESPACES:
            for plural in ("backfills", "schedules", "flowruns", "flows"):
                path = f"{OURS}/namespaces/{namespace}/{plural}"
                self._to_do.append(partial(self._is_done, "DELETE", path))
        left: list[str] = []

        def is_nothing_left() -> bool:
            left[:] = self._left()
            return not left and not self._to_do

        return [] if self._until(is_nothing_left, LEFT_S) else left

    def _left(self) -> Iterator[str]:
        for namespace in NAMESPACES:
            core = f"/api/v1/namespaces/{namespace}"
            for path in (
                f"{core}/pods",
                f"{core}/persistentvolumeclaims",
                f"/apis/batch/v1/namespaces/{namespace}/jobs",
                f"{OURS}/namespaces/{namespace}/flowruns",
            ):
                listed = self.call("GET", path)
                if listed is None:
                    yield f"{path}: there was no answer"
                    continue
                for item in listed["items"]:
                    metadata = item["metadata"]
                    held = f"finalizers {metadata.get('finalizers', [])}, deleted {metadata.get('deletionTimestamp')}"
                    yield f"left of it: {path}/{metadata['name']}: {held}"


def _state(run: dict[str, Any]) -> str:
    return str((run.get("status") or {}).get("state", ""))


def _is_flow(body: Body, name: str) -> bool:
    return bool(body["kind"] == "Flow" and body["metadata"]["name"] == name)
