"""How a person controls a running run: by `kubectl patch` and by the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import IMAGE, UNTIL_RELEASED, flow_run, task

pytestmark = pytest.mark.e2e

FINALLY: list[dict[str, Any]] = [
    {
        "name": "cleanup",
        "image": IMAGE,
        "env": [{"name": "STATE", "value": "$(run.state)"}],
        "script": """echo "{\\"saw\\": \\"$STATE\\"}" > "$PENSTOCK_OUTPUTS\"""",
    }
]


def ask(name: str) -> str:
    """Return a run that asks before it continues."""
    return flow_run(
        name,
        """
        - {name: build, command: ["true"]}
        - {name: sign-off, dependsOn: [build], approval: {message: "Publish $(params.day)?"}}
        - {name: publish, dependsOn: [sign-off], command: ["true"]}
        """,
        params=[{"name": "day", "default": "2026-11-22"}],
        **{"finally": FINALLY},
    )


def stopped(name: str) -> str:
    """Return a run that somebody has to end."""
    return flow_run(
        name,
        """
        - {name: done, command: ["true"]}
        - {name: long, dependsOn: [done], command: [sleep, "600"]}
        - {name: never, dependsOn: [long], command: ["true"]}
        """,
        **{"finally": FINALLY},
    )


def waiting_run(name: str, **spec: Any) -> str:
    """Return a run that waits until it is resumed."""
    return flow_run(
        name,
        f"""
        - {{name: first, script: {UNTIL_RELEASED}}}
        - {{name: second, dependsOn: [first], command: ["true"]}}
        """,
        **spec,
    )


STUCK = flow_run(
    "stuck-in-finally",
    "[{name: a, command: ['true']}]",
    **{"finally": [{"name": "cleanup", "image": IMAGE, "command": ["sleep", "600"]}]},
)


@pytest.fixture(scope="module")
def runs(shared: Kubectl) -> Kubectl:
    """kubectl where those runs have been started that wait for somebody."""
    asking = ask("patched") + ask("approved") + ask("rejected")
    waiting = waiting_run("suspended") + waiting_run("drained", **{"finally": FINALLY})
    shared.apply(asking + waiting + stopped("cancelled") + stopped("terminated") + STUCK)
    return shared


def test_a_suspended_run_starts_nothing_and_continues_when_it_is_resumed(runs: Kubectl):
    pod = runs.reach("suspended", "first", "Running")["pod"]

    runs.change("suspended", suspend=True)
    runs.release(pod)
    runs.wait("flowrun/suspended", "jsonpath={.status.state}=Paused")
    paused = runs.get("flowrun", "suspended")
    runs.change("suspended", suspend=False)
    run = runs.finish("suspended")

    assert paused["status"]["reason"] == "Suspended"
    assert (task(paused, "first")["state"], task(paused, "second")["state"]) == ("Completed", "Pending")
    assert "pod" not in task(paused, "second")
    assert run["status"]["state"] == "Completed"


def test_a_drained_run_lets_what_runs_end_and_then_cleans_up(runs: Kubectl):
    pod = runs.reach("drained", "first", "Running")["pod"]

    runs.change("drained", shutdown="Drain")
    runs.wait("flowrun/drained", "jsonpath={.status.shutdown.mode}=Drain")
    runs.release(pod)
    run = runs.finish("drained")

    assert (run["status"]["state"], run["status"]["reason"]) == ("Cancelled", "RunDrained")
    assert (task(run, "first")["state"], task(run, "second")["state"]) == ("Completed", "Skipped")
    assert task(run, "cleanup")["outputs"] == {"saw": "Cancelled"}


def test_a_cancelled_run_stops_what_runs_and_then_cleans_up(runs: Kubectl):
    runs.reach("cancelled", "long", "Running")

    runs.change("cancelled", shutdown="Cancel")
    run = runs.finish("cancelled")

    assert (run["status"]["state"], run["status"]["reason"]) == ("Cancelled", "RunCancelled")
    assert (task(run, "done")["state"], task(run, "long")["state"]) == ("Completed", "Cancelled")
    assert (task(run, "never")["state"], task(run, "never")["reason"]) == ("Skipped", "UpstreamFailed")
    assert task(run, "cleanup")["outputs"] == {"saw": "Cancelled"}


def test_a_terminated_run_stops_at_once_and_cleans_nothing_up(runs: Kubectl):
    runs.reach("terminated", "long", "Running")

    runs.change("terminated", shutdown="Terminate")
    run = runs.finish("terminated")

    assert (run["status"]["state"], run["status"]["reason"]) == ("Cancelled", "RunTerminated")
    assert (task(run, "long")["state"], task(run, "cleanup")["state"]) == ("Cancelled", "Skipped")
    assert runs.get_all("pods", selector="penstock.dev/run=terminated,penstock.dev/task=cleanup") == []


def test_a_run_is_terminated_while_it_cleans_up(runs: Kubectl):
    runs.reach("stuck-in-finally", "cleanup", "Running")

    runs.change("stuck-in-finally", shutdown="Terminate")
    run = runs.finish("stuck-in-finally")

    assert run["status"]["state"] == "Cancelled"
    assert (task(run, "a")["state"], task(run, "cleanup")["state"]) == ("Completed", "Cancelled")


def test_a_run_waits_for_a_person_who_approves_by_kubectl(runs: Kubectl):
    runs.wait("flowrun/patched", "jsonpath={.status.state}=Paused")
    asked = runs.get("flowrun", "patched")

    runs.change("patched", approvals=[{"task": "sign-off", "decision": "Approve", "comment": "go"}])
    run = runs.finish("patched")

    assert (task(asked, "sign-off")["reason"], task(asked, "sign-off")["message"]) == (
        "AwaitingApproval",
        "Publish 2026-11-22?",
    )
    assert task(run, "sign-off")["outputs"] == {"decision": "Approve", "comment": "go"}
    assert (task(run, "publish")["state"], run["status"]["state"]) == ("Completed", "Completed")
    assert task(run, "cleanup")["outputs"] == {"saw": "Completed"}


def test_a_run_continues_when_it_is_approved_on_the_command_line(runs: Kubectl):
    runs.wait("flowrun/approved", "jsonpath={.status.state}=Paused")

    runs.penstock("approve", "approved", "sign-off")
    run = runs.finish("approved")

    assert (task(run, "publish")["state"], run["status"]["state"]) == ("Completed", "Completed")


def test_a_run_ends_when_it_is_rejected_on_the_command_line(runs: Kubectl):
    runs.wait("flowrun/rejected", "jsonpath={.status.state}=Paused")

    runs.penstock("reject", "rejected", "sign-off", "-m", "not today")
    run = runs.finish("rejected")

    assert (task(run, "sign-off")["state"], task(run, "sign-off")["reason"]) == ("Failed", "Rejected")
    assert "not today" in run["status"]["message"]
    assert task(run, "publish")["state"] == "Skipped"
    assert task(run, "cleanup")["outputs"] == {"saw": "Failed"}
