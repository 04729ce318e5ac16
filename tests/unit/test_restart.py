"""What a retry keeps, and what it runs again: by a task, its items, changed params, or everything."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.flow import FlowSpec
from penstock.api.flow_run import RunReference
from penstock.cli.text.retry_plan import retry_lines, retry_lines_of_status
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.machine.tasks.kept_tasks import choose_kept, completed_items
from penstock.engine.restart import Restart, changed_params, check_against_run, check_references, read_restart

FLOW: dict[str, Any] = {
    "params": [{"name": "day"}, {"name": "regions", "type": "array", "default": ["eu"]}, {"name": "other"}],
    "defaults": {"image": "x"},
    "tasks": [
        {"name": "list", "args": ["$(params.day)"]},
        {"name": "load", "dependsOn": ["list"], "forEach": {"count": 5}, "args": ["$(index)"]},
        {"name": "report", "dependsOn": ["load"], "when": "size(params.regions) > 0"},
        {"name": "all", "env": [{"name": "ALL", "value": "$(params)"}]},
        {"name": "pod", "podTemplate": {"spec": {"nodeSelector": {"zone": "$(params.other)"}}}},
        {"name": "alone"},
        {"name": "after", "dependsOn": ["alone", "pod"]},
    ],
    "finally": [{"name": "clean"}],
}
PLAN = compile_plan(FlowSpec.model_validate(FLOW))
NAMES = [task["name"] for task in FLOW["tasks"]]


def completed(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks of a run that completed; with these fields instead."""
    entries = []
    for name in [*NAMES, "clean"]:
        entry: dict[str, Any] = {"name": name, "state": "Completed"}
        if name == "load":
            outputs = [{"rows": index} for index in range(5)]
            entry |= {"items": {"total": 5, "indexes": {"Completed": "0-4"}}, "outputs": outputs}
        if name == "clean":
            entry["finally"] = True
        entries.append({**entry, **changed.get(name, {})})
    return entries


def kept_names(restart: Restart, entries: list[dict[str, Any]] | None = None) -> list[str]:
    """Names of what is kept as a whole."""
    kept = choose_kept(PLAN, completed() if entries is None else entries, restart)
    return [PLAN.tasks[position].name for position in sorted(kept) if kept[position]["state"] == "Completed"]


def asked(**fields: Any) -> Restart:
    return read_restart([RunReference.model_validate({"name": "r", **fields})])


@pytest.mark.parametrize(
    ("restart", "want"),
    [
        pytest.param(asked(), NAMES, id="nothing is asked for"),
        pytest.param(asked(restartCompleted=True), [], id="everything"),
        pytest.param(asked(**{"from": "load"}), ["list", "all", "pod", "alone", "after"], id="a task and what follows"),
        pytest.param(
            asked(**{"from": "alone"}), ["list", "load", "report", "all", "pod"], id="a task in another branch"
        ),
        pytest.param(
            Restart(params=frozenset({"day"})), ["pod", "alone", "after"], id="a param in args, and as a whole"
        ),
        pytest.param(
            Restart(params=frozenset({"regions"})), ["list", "load", "pod", "alone", "after"], id="a param in when"
        ),
        pytest.param(
            Restart(params=frozenset({"other"})), ["list", "load", "report", "alone"], id="a param of the Pod"
        ),
    ],
)
def test_what_is_kept_as_a_whole(restart, want):
    assert kept_names(restart) == want


GUARDED = compile_plan(
    FlowSpec.model_validate(
        {
            "params": [{"name": "target", "default": "staging"}],
            "defaults": {"image": "x"},
            "tasks": [
                {"name": "build"},
                {"name": "ask", "dependsOn": ["build"], "approval": {}},
                {"name": "deploy", "dependsOn": ["ask"], "args": ["$(params.target)"]},
            ],
        }
    )
)


@pytest.mark.parametrize(
    ("restart", "want"),
    [
        pytest.param(asked(), ["build", "ask", "deploy"], id="a plain retry"),
        pytest.param(asked(revision="Same"), ["build", "ask", "deploy"], id="the same revision"),
        pytest.param(Restart(params=frozenset({"target"})), ["build"], id="a param that the approval does not use"),
        pytest.param(asked(revision="Latest"), ["build"], id="the current Flow"),
        pytest.param(asked(**{"from": "deploy"}), ["build"], id="what was approved, once more"),
        pytest.param(asked(restartCompleted=True), [], id="everything"),
    ],
)
def test_an_approval_is_kept_only_by_a_retry_that_runs_what_was_approved(restart, want):
    entries = [{"name": task.name, "state": "Completed"} for task in GUARDED.tasks]
    kept = choose_kept(GUARDED, entries, restart)
    assert [GUARDED.tasks[position].name for position in sorted(kept)] == want
    shown = [line.plain.split(maxsplit=1)[1] for line in retry_lines(GUARDED, entries, restart)]
    assert ("ask (asks again)" in shown[1]) is ("ask" not in want)


STATUS: list[dict[str, Any]] = [
    {"name": "list", "state": "Completed"},
    {"name": "again", "state": "Cached"},
    {"name": "load", "state": "Failed", "items": {"total": 4, "indexes": {"Completed": "0,2", "Failed": "1"}}},
    {"name": "none", "state": "Failed", "items": {"total": 2, "indexes": {"Failed": "0-1"}}},
    {"name": "report", "state": "Skipped"},
    {"name": "cleanup", "state": "Completed", "finally": True},
]


@pytest.mark.parametrize(
    ("is_everything", "is_selective", "want"),
    [
        pytest.param(
            False,
            False,
            [
                "keeps    list, again, load (items 0,2)",
                "runs     load (items 1,3), none, report, cleanup",
                (
                    "a task that is kept runs again if it follows from one that runs: which do cannot be listed, since "
                    "ConfigMap etl-1 with the spec of the run does not exist any more, or you may not read it"
                ),
            ],
            id="a plain retry",
        ),
        pytest.param(
            True,
            False,
            ["keeps    nothing", "runs     list, again, load, none, report, cleanup"],
            id="everything",
        ),
        pytest.param(
            False,
            True,
            [
                (
                    "what is kept cannot be listed: ConfigMap etl-1 with the spec of the run does not exist any more, "
                    "or you may not read it; the operator decides when the retry starts"
                )
            ],
            id="a part",
        ),
    ],
)
def test_what_is_kept_is_listed_from_the_status_to_who_may_not_read_the_spec(is_everything, is_selective, want):
    lines = retry_lines_of_status(STATUS, "etl-1", is_everything=is_everything, is_selective=is_selective)
    assert [line.plain for line in lines] == want


def test_a_retry_of_a_retry_that_asked_for_other_things_and_never_started_asks_again():
    references = [RunReference(name="r2"), RunReference(name="r1", revision="Latest")]
    assert not read_restart(references).keeps_approvals


def partly(restart: Restart, **load: Any) -> dict[str, Any]:
    return choose_kept(PLAN, completed(load=load) if load else completed(), restart)[PLAN.positions["load"]]


def test_of_a_completed_fan_out_only_the_named_items_run_again():
    entry = partly(asked(**{"from": "load", "items": "1,3-4"}))
    assert entry["state"] == "Pending"
    assert completed_items(entry) == {"total": 5, "indexes": {"Completed": "0,2"}}
    assert entry["outputs"] == [{"rows": 0}, None, {"rows": 2}, None, None], "the outputs of those must not remain"


def test_of_a_failed_fan_out_the_named_items_run_again_beside_those_that_failed():
    items = {"total": 5, "indexes": {"Completed": "0-2", "Cached": "3", "Failed": "4"}}
    entry = partly(asked(**{"from": "load", "items": "0"}), state="Failed", items=items)
    assert completed_items(entry)["indexes"] == {"Completed": "1-2", "Cached": "3"}


def test_a_failed_fan_out_that_is_named_keeps_its_completed_items_unless_all_are_to_run():
    items = {"total": 5, "indexes": {"Completed": "0-3", "Failed": "4"}}
    entries = completed(load={"state": "Failed", "items": items})
    assert completed_items(choose_kept(PLAN, entries, asked(**{"from": "load"}))[1])["indexes"] == {"Completed": "0-3"}
    assert 1 not in choose_kept(PLAN, entries, asked(**{"from": "load", "restartCompleted": True}))


def test_items_of_a_task_whose_upstream_runs_again_are_not_kept():
    both = read_restart(
        [
            RunReference.model_validate({"name": "r", "from": "list"}),
            RunReference.model_validate({"name": "q", "from": "load", "items": "1"}),
        ]
    )
    assert PLAN.positions["load"] not in choose_kept(PLAN, completed(), both)


def test_a_param_has_changed_only_if_its_value_has():
    before = {"day": "monday", "count": 3, "deep": {"a": [1, True]}}
    after = {"day": "monday", "count": 3.0, "deep": {"a": [1, 1]}, "new": 1}
    assert changed_params(before, after, ["day", "count", "deep", "new"]) == {"deep", "new"}
    assert changed_params({"day": "x"}, {}, ["day"]) == {"day"}, "null gives no value"


def problems(**fields: Any) -> list[str]:
    reference = RunReference.model_validate({"name": "r", **fields})
    return [str(problem) for problem in check_references([reference], completed())]


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        pytest.param({"items": "1"}, "spec.retryOf.items: requires from", id="items of nothing"),
        pytest.param(
            {"from": "load", "items": "1", "restartCompleted": True}, "spec.retryOf.items: all items run", id="both"
        ),
        pytest.param({"from": "load", "items": "3-1"}, "spec.retryOf.items: must be ascending", id="a range backwards"),
        pytest.param({"from": "load", "items": "3,1"}, "spec.retryOf.items: must be ascending", id="descending"),
        pytest.param({"from": "lod"}, 'spec.retryOf.from: run r has no task lod (did you mean "load"?)', id="misspelt"),
        pytest.param({"from": "clean"}, "spec.retryOf.from: clean is a finally task", id="a finally task"),
        pytest.param({"from": "list", "items": "1"}, "spec.retryOf.items: task list has no items", id="no fan-out"),
        pytest.param({"from": "load", "items": "2-7"}, "has no item 7: its items are 0 to 4", id="no such item"),
    ],
)
def test_what_cannot_run_again_is_refused_with_the_field(fields, want):
    (problem,) = problems(**fields)
    assert want in problem


def test_a_retry_that_was_refused_is_the_problem_of_its_own_retry_too():
    given = ({"name": "refused"}, {"name": "r", "from": "load", "items": "3-1"})
    (problem,) = check_references(map(RunReference.model_validate, given), completed())
    assert "must be ascending" in str(problem)


def test_of_a_run_that_never_started_any_task_can_be_named():
    assert list(check_against_run(RunReference.model_validate({"name": "r", "from": "x"}), [])) == []
