"""What fuzzing draws: the same for a seed, of every kind, and not so broken that nothing of it is ever run."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from penstock.api import names
from penstock.engine.validation.validation import check_flow, parse_flow, parse_run
from penstock.errors import InvalidSpecError
from tests.fuzz.ends import End, end_of, is_refusal_with_field
from tests.fuzz.manifests import SHARES, Manifest, draw
from tests.fuzz.mutations import written_out
from tests.fuzz.report import traces_in

COUNT = 200


@pytest.fixture(scope="module")
def drawn() -> list[Manifest]:
    return list(draw(3, COUNT))


def test_a_seed_draws_the_same_manifests_again(drawn):
    assert list(draw(3, COUNT)) == drawn
    assert [manifest.text for manifest in draw(4, 50)] != [manifest.text for manifest in drawn[:50]]


def test_every_kind_is_drawn(drawn):
    assert set(Counter(manifest.kind for manifest in drawn)) == set(SHARES)


def test_our_finalizer_is_drawn_on_pods_of_runs_that_exist_and_of_others(drawn):
    pods = [json.loads(manifest.text)["metadata"] for manifest in drawn if manifest.kind == "Pod"]
    held = [pod["labels"] for pod in pods if "finalizers" in pod]
    assert all(names.LABEL_RUN_UID in labels for labels in held), "the operator does not watch such a Pod"
    assert {labels.get(names.LABEL_RUN) for labels in held} >= {"anchor", "finished", None}


def test_some_flows_and_runs_are_valid_and_some_are_not(drawn):
    verdicts: Counter[tuple[str, bool]] = Counter()
    for manifest in drawn:
        body = json.loads(manifest.text)
        if manifest.kind in ("Flow", "FlowRun"):
            try:
                if manifest.kind == "Flow":
                    is_valid = not check_flow(parse_flow(body))
                else:
                    parse_run(body)
                    is_valid = True
            except InvalidSpecError:
                is_valid = False
            verdicts[manifest.kind, is_valid] += 1
    assert min(verdicts.values()) >= 5, verdicts
    assert len(verdicts) == 4


def test_what_is_nested_deeply_is_written_out_when_it_is_sent():
    assert written_out('{"a": "@nest:3:[@", "b": "@big:5@"}') == '{"a": [[[1]]], "b": "bbbbb"}'


@pytest.mark.parametrize(
    ("status", "has_work", "want"),
    [
        pytest.param({}, False, None, id="nothing yet"),
        pytest.param({"state": "Completed"}, False, End("Completed"), id="a success"),
        pytest.param({"state": "Running", "tasks": []}, False, None, id="running with nothing to show"),
        pytest.param(
            {"state": "Running", "tasks": [{"name": "a", "state": "Queued", "reason": "QuotaExceeded"}]},
            False,
            End("Running, task Queued", "QuotaExceeded"),
            id="a task that waits",
        ),
    ],
)
def test_a_run_has_come_to_an_end(status, has_work, want):
    assert end_of("FlowRun", {}, status, has_work=has_work) == want


@pytest.mark.parametrize(
    ("end", "want"),
    [
        pytest.param(End("Failed", "InvalidSpec"), True, id="in the reference"),
        pytest.param(End("Failed"), False, id="no reason for a failure"),
        pytest.param(End("Failed", "Gremlins"), False, id="an unknown reason"),
        pytest.param(End("Failed", "InternalError"), False, id="a bug"),
    ],
)
def test_an_end_is_documented(end, want):
    assert end.is_documented is want


def test_a_refusal_names_a_field():
    assert is_refusal_with_field(422, {"details": {"causes": [{"field": "spec.tasks[0].name"}]}})
    assert not is_refusal_with_field(500, {"message": "failed calling webhook"})
    assert not is_refusal_with_field(422, {"message": "no"})


def test_a_traceback_is_found_with_its_place_and_error():
    log = (
        "2026-01-01 12:00:00 ERROR x: Unexpected\n"
        "Traceback (most recent call last):\n"
        '  File "/a/b.py", line 3, in f\n    g()\n'
        '  File "/a/c.py", line 5, in g\n    x\n'
        "KeyError: 'metadata'\n"
        "2026-01-01 12:00:01 INFO x: well\n"
    )
    (trace,) = traces_in(log)
    assert (trace.error, trace.place) == ("KeyError: 'metadata'", "c.py:5 g")
