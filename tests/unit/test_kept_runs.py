"""Which finished runs are removed, and when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api import names
from penstock.api.flow_defaults import InheritedDefaults
from penstock.engine.keys import ObjectKey, RunUid
from penstock.kube.kinds.flow_run import RunMetadata
from penstock.kube.metadata import OwnerReference
from penstock_operator.flow_defaults.in_force import DefaultsInForce
from penstock_operator.retention.kept_runs import (
    EndedRun,
    KeptRuns,
    Parent,
    RunPolicy,
    is_named_by_person,
    read_ended_run,
    read_policy,
)

FLOW = ObjectKey("lab", "orders")


def ended(uid: str, *, at: float = 0.0, successful: bool = True, flow: str = "orders", parent: str = "") -> EndedRun:
    return EndedRun(
        key=ObjectKey("lab", f"run-{uid}"),
        uid=uid,
        flow=flow,
        is_successful=successful,
        ended_at=at,
        parent=Parent(f"run-{parent}", parent) if parent else None,
    )


def kept(policy: RunPolicy | None, *runs: EndedRun) -> KeptRuns:
    found = KeptRuns()
    found.set_policy(FLOW, policy) if policy is not None else None
    for run in runs:
        found.add_run(run)
    return found


def gone(runs: KeptRuns, now: float) -> list[str]:
    return [run.uid for run in runs.pop_due(now)]


def test_a_run_goes_by_how_it_ended():
    runs = kept(RunPolicy(10.0, 20.0), ended("good"), ended("bad", successful=False))

    assert runs.next_due_at == pytest.approx(10.0)
    assert gone(runs, 9.0) == []
    assert gone(runs, 10.0) == ["good"]
    assert gone(runs, 20.0) == ["bad"]
    assert (len(runs), runs.next_due_at) == (0, None)


def test_a_time_of_zero_is_immediate():
    assert gone(kept(RunPolicy(0.0, None), ended("good", at=5.0)), 5.0) == ["good"]


def test_runs_of_a_flow_without_retention_stay_and_cost_nothing():
    runs = kept(RunPolicy(10.0, None), ended("bad", successful=False), ended("of another flow", flow="invoices"))

    assert (len(runs), gone(runs, 1e12)) == (0, [])


@pytest.mark.parametrize(
    ("later", "want"),
    [
        pytest.param(RunPolicy(100.0, None), {10.0: [], 100.0: ["a"]}, id="longer"),
        pytest.param(None, {10.0: [], 100.0: []}, id="forever, or the Flow is gone"),
        pytest.param(RunPolicy(None, 0.0), {10.0: [], 100.0: []}, id="forever if they succeeded"),
    ],
)
def test_the_flow_as_it_is_when_the_time_comes_decides(later, want):
    runs = kept(RunPolicy(10.0, None), ended("a"))
    runs.set_policy(FLOW, later)

    assert {now: gone(runs, now) for now in want} == want


def test_a_flow_that_keeps_runs_for_less_has_them_listed():
    runs = kept(RunPolicy(100.0, None), ended("a"))

    assert runs.set_policy(FLOW, RunPolicy(10.0, None))
    runs.add_run(ended("a"))
    assert gone(runs, 10.0) == ["a"]
    assert gone(runs, 100.0) == []
    assert not runs.set_policy(FLOW, RunPolicy(10.0, None)), "nothing new"
    assert not runs.set_policy(ObjectKey("lab", "invoices"), None), "nothing new"


def test_a_child_that_waits_for_its_parent_goes_when_that_has_finished():
    child = ended("child", parent="parent")
    runs = kept(RunPolicy(0.0, None), child)
    assert runs.pop_due(1.0) == [child]
    runs.wait_for_parent(child)
    runs.add_run(child)

    assert (len(runs), gone(runs, 1e12)) == (1, [])
    assert not runs.on_parent_finished(RunUid("lab", "another"))
    assert not runs.on_parent_finished(RunUid("elsewhere", "parent"))
    assert runs.on_parent_finished(RunUid("lab", "parent"))
    assert gone(runs, 1.0) == ["child"]


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=700), st.integers(0, 20))
def test_many_runs_and_repeats_lose_and_double_nothing(found, keep_s):
    runs = KeptRuns()
    runs.set_policy(FLOW, RunPolicy(float(keep_s), None))
    expected = {}
    for at, is_repeated in found:
        uid = f"run-{at}"
        expected[uid] = at + keep_s
        for _ in range(2 if is_repeated else 1):
            runs.add_run(ended(uid, at=at))

    taken = gone(runs, 150.0)
    assert sorted(taken) == sorted(uid for uid, due in expected.items() if due <= 150)
    assert len(taken) + len(gone(runs, 1000.0)) == len(expected)
    assert not len(runs)


# Whether a person named a run


def metadata(name: str = "orders-x7k2p", **fields: Any) -> RunMetadata:
    return RunMetadata(name=name, namespace="lab", uid="u", **fields)


def owner(kind: str, group: str = names.GROUP, *, controller: bool = True) -> tuple[OwnerReference, ...]:
    reference = OwnerReference(api_version=f"{group}/v1", kind=kind, name="owner", uid="o", controller=controller)
    return (reference,)


@pytest.mark.parametrize(
    ("existing", "want"),
    [
        pytest.param(metadata("orders-2026-11-22"), True, id="kubectl apply"),
        pytest.param(metadata(generate_name="orders-"), False, id="generateName"),
        pytest.param(metadata("orders-november", generate_name="orders-"), True, id="a name beside generateName"),
        pytest.param(metadata("invoices-abcde", generate_name="orders-"), True, id="another name than generated"),
        pytest.param(metadata("a" * 58 + "x7k2p", generate_name="a" * 63), False, id="a prefix that was cut"),
        pytest.param(metadata(owner_references=owner("Schedule")), False, id="a Schedule"),
        pytest.param(metadata(owner_references=owner("Backfill")), False, id="a Backfill"),
        pytest.param(metadata(owner_references=owner("FlowRun")), False, id="a parent"),
        pytest.param(metadata(owner_references=owner("Application")), True, id="an owner that is not ours"),
        pytest.param(
            metadata(owner_references=owner("Schedule", "example.com")), True, id="a kind of that name that is not ours"
        ),
        pytest.param(
            metadata(owner_references=owner("Schedule", controller=False)), True, id="an owner that does not control it"
        ),
    ],
)
def test_whether_a_person_named_a_run(existing, want):
    assert is_named_by_person(existing) is want


@pytest.mark.parametrize(
    ("existing", "flow"),
    [
        pytest.param(metadata("orders-by-hand"), "orders", id="one that a person named"),
        pytest.param(metadata(generate_name="orders-"), None, id="one with an inline spec"),
        pytest.param(
            metadata(generate_name="orders-", deletion_timestamp="2026-01-01T00:00:00Z"), "orders", id="one that goes"
        ),
    ],
)
def test_what_is_never_removed(existing, flow):
    assert read_ended_run(existing, flow=flow, state="Completed", ended_at=0.0) is None


@pytest.mark.parametrize(
    ("state", "want"), [("Completed", True), ("Skipped", True), ("Failed", False), ("Crashed", False)]
)
def test_how_a_run_ended(state, want):
    run = read_ended_run(metadata(owner_references=owner("FlowRun")), flow="orders", state=state, ended_at=3.0)

    assert run == EndedRun(ObjectKey("lab", "orders-x7k2p"), "u", "orders", want, 3.0, Parent("owner", "o"))


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({"retention": {"completed": "24h", "failed": "7m"}}, RunPolicy(86400.0, 420.0)),
        ({"retention": {"completed": "0s"}}, RunPolicy(0.0, None)),
        ({"retention": {}}, None),
        ({"retention": {"completed": "soon"}}, None),
        ({}, None),
        ({"retention": "forever"}, None),
    ],
)
def test_what_a_flow_says(spec, want):
    assert read_policy(DefaultsInForce(InheritedDefaults(), "", "").retention_of(spec)) == want


def test_a_flow_that_says_it_wrongly_keeps_its_runs_whatever_it_inherits():
    inherited = InheritedDefaults.model_validate({"namespace": {"retention": {"completed": "0s"}}})
    assert DefaultsInForce(inherited, "", "").retention_of({"retention": {"completed": "soon"}}) is None


@pytest.mark.parametrize(
    ("spec", "note", "want"),
    [
        pytest.param({}, "", True, id="it says nothing"),
        pytest.param({"retention": {}}, "", True, id="it says nothing in more words"),
        pytest.param({"retention": {"failed": "7m"}}, "", False, id="it says so for one outcome"),
        pytest.param({"retention": {"completed": "soon"}}, "", False, id="it says so wrongly"),
        pytest.param({}, "FlowDefaults are invalid", False, id="what it inherits may say so"),
    ],
)
def test_only_a_flow_that_says_nothing_leaves_it_to_others_how_long_its_runs_are_kept(spec, note, want):
    assert DefaultsInForce(InheritedDefaults(), note, "").is_silent_about_retention(spec) is want


def by_schedule(name: str, **change: str) -> RunMetadata:
    annotations = {names.ANNOTATION_SCHEDULE_UID: "u", **change}
    return metadata(name=name, labels={names.LABEL_SCHEDULE: "nightly"}, annotations=annotations)


@pytest.mark.parametrize(
    ("run", "want"),
    [
        pytest.param(by_schedule("nightly-29891700"), False, id="a Schedule that does not own it"),
        pytest.param(by_schedule("nightly-by-hand"), True, id="a name that no tick gives"),
        pytest.param(by_schedule("nightly-29891700", **{names.ANNOTATION_BACKFILL_UID: "b"}), False, id="a Backfill"),
    ],
)
def test_a_run_without_an_owner_is_known_by_its_schedule(run, want):
    assert is_named_by_person(run) is want
