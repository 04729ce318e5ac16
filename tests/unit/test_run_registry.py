"""What is kept of runs goes with them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.engine.keys import ObjectKey, RunKey, RunUid
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.reasons import Reason
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from tests.unit.test_machine import world

KEY = RunKey("team", "run")
CANCEL = Shutdown(ShutdownMode.CANCEL, Reason.RUN_REPLACED, "another takes its place")


def fail(error: BaseException) -> None:
    raise AssertionError from error


@pytest.fixture
def registry() -> RunRegistry:
    writer = Writer(ApiClient(Connection("http://nowhere"), metrics=Metrics()), may_write=lambda: True)
    return RunRegistry(writer, metrics=Metrics(), fail=fail, on_error=lambda _, error: fail(error), clock=lambda: 0.0)


def found(uid: str) -> FlowRun:
    metadata = {"namespace": KEY.namespace, "name": KEY.name, "uid": uid}
    return msgspec.convert({"metadata": metadata}, type=FlowRun)


def live(name: str, revision: str | None, *, namespace: str = "team") -> LiveRun:
    run: dict[str, Any] = {"uid": f"uid of {name}", "generation": 1, "resource_version": "1", "object": FlowRun()}
    started = LiveRun(key=RunKey(namespace, name), revision=revision, **run)
    started.machine = world("tasks: [{name: a}]").machine
    return started


def test_what_was_decided_before_a_run_is_live_is_for_that_run_alone(registry):
    registry.end_run_when_live(KEY, "1", CANCEL)
    assert registry.take_shutdown(KEY, "1") == CANCEL
    assert registry.take_shutdown(KEY, "1") is None


@pytest.mark.parametrize("uid", [None, "2"], ids=["there is none of its name", "there is another"])
def test_what_was_decided_about_a_run_that_is_gone_is_dropped(registry, uid):
    registry.end_run_when_live(KEY, "1", CANCEL)
    assert registry.take_shutdown(KEY, uid) is None
    assert registry.take_shutdown(KEY, "1") is None


def test_what_was_decided_about_a_run_that_has_finished_is_dropped(registry):
    registry.mark_finished(RunUid(KEY.namespace, "1"))
    registry.announce_run(found("1"), CANCEL)
    assert registry.take_announced(KEY) is None
    assert registry.take_shutdown(KEY, "1") is None


def test_a_run_that_needs_a_revision_is_found_as_long_as_it_is_live(registry):
    first, second, other = live("first", "r"), live("second", None), live("other", "r", namespace="other")
    for run in (first, second, other):
        registry.add_run(run)
    registry.set_revision(second, "r")
    assert registry.find_user(ObjectKey("team", "r")) is first
    registry.remove_run(first)
    assert registry.find_user(ObjectKey("team", "r")) is second
    registry.set_revision(second, "r2")
    assert registry.find_user(ObjectKey("team", "r")) is None
    assert registry.find_user(ObjectKey("team", "r2")) is second
    assert registry.find_user(ObjectKey("other", "r")) is other
    assert registry.revisions_in_use() == {("team", "r2"), ("other", "r")}
    for run in (second, other):
        registry.remove_run(run)
    assert registry.revisions_in_use() == set()


def test_a_run_that_another_has_replaced_takes_no_revision_from_it(registry):
    before, after = live("run", "r"), live("run", "r")
    registry.add_run(before)
    registry.add_run(after)
    registry.remove_run(before)
    assert registry.find_user(ObjectKey("team", "r")) is after


LARGE = {"big": "x" * 100_000}


def test_a_large_run_that_is_announced_is_read_when_its_turn_has_come(registry: RunRegistry):
    def announce(uid: str, params: dict[str, Any]) -> FlowRun | None:
        registry.announce_run(msgspec.structs.replace(found(uid), spec={"params": params}))
        return registry.take_announced(KEY)

    assert announce("1", {"day": "2026-01-05"}) is not None
    assert announce("2", LARGE) is None
    assert registry.queue.depth == 1


@pytest.mark.parametrize(
    ("spec", "is_large"),
    [
        pytest.param({"flow": {"name": "f"}, "params": {"day": "2026-01-05"}}, False, id="a few params"),
        pytest.param({"flow": {"name": "f"}}, False, id="no params"),
        pytest.param({"flow": {"name": "f"}, "params": LARGE}, True, id="a long text"),
        pytest.param({"flow": {"name": "f"}, "params": {"rows": [[1]] * 1_000}}, True, id="many values"),
        pytest.param({"flowSpec": {"tasks": [{"name": "a", "args": ["x" * 50_000]}]}}, True, id="an inline Flow"),
        pytest.param({"flowSpec": {"tasks": [{"name": "a", "args": ["x"]}]}}, False, id="a small inline Flow"),
    ],
)
def test_a_run_that_waits_keeps_little_of_a_large_object(spec, is_large):
    given = spec | {"priority": 3, "scheduledTime": "2026-01-05T12:00:00Z"}
    run = LiveRun.of_object(msgspec.structs.replace(found("1"), spec=given))
    whole = run.object

    run.cut_object()

    assert run.is_cut is is_large
    kept = {"params", "flowSpec"} & set(run.object.spec)
    assert bool(kept) is (not is_large and bool({"params", "flowSpec"} & set(spec)))
    assert (run.object.priority, run.identity.scheduled_time) == (3, "2026-01-05T12:00:00Z")

    run.set_object(whole)
    assert not run.is_cut
    assert run.object.spec == given
