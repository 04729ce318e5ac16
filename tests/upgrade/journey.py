"""Runs, Schedules and the rest: how they begin, how far the earlier version carries them, and how they must end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.api import names
from tests.api.scene import Scene, task

LONG: Final = "600s"
"""How long a Pod runs that is to run while the version changes."""
TTL: Final = "87600h"
DAY: Final = "2026-10-02"
"""Tick of the Backfill at which the version changes."""

STATES: Final = {
    "chain": "Running",
    "approval": "Paused",
    "jobs": "Running",
    "parent": "Running",
    "retrying": "Running",
    "limited-1": "Running",
    "limited-2": "Queued",
    "cache-done": "Completed",
    "cache-holder": "Running",
    "failed": "Failed",
    "suspended": "Paused",
}
"""Of each run when the version changes."""
PODS: Final = {
    # first, five items of which two fail once, last, clean
    "chain": 10,
    "approval": 2,
    "jobs": 2,
    "parent": 1,
    "retrying": 2,
    "limited-1": 1,
    "limited-2": 1,
    "cache-done": 1,
    "cache-holder": 1,
    "cache-waiter": 0,
    "failed": 2,
    "suspended": 1,
    # made by the later version
    "cache-again": 0,
    "retried": 1,
}
"""How many each run has had in the end: all that it needs, and none twice."""


def begin(scene: Scene) -> None:
    """Create everything."""
    _runs(scene)
    _cache(scene)
    minutely = {"cron": ["* * * * *"], "history": {"completed": 1000}, "runTemplate": {"spec": _spec(task())}}
    scene.create("Schedule", "minutely", minutely)
    day = "$(params.day == '" + DAY + "' ? '" + LONG + "' : '0s')"
    scene.create("Flow", "dated", {"params": [{"name": "day"}], "tasks": [task(pod_run_for=day)]})
    dated = {"spec": {"flow": {"name": "dated"}, "params": {"day": "$(tick.date)"}}}
    scene.create("Schedule", "daily", {"cron": ["0 0 * * *"], "suspend": True, "runTemplate": dated})
    period = {"from": "2026-10-01T00:00:00Z", "to": "2026-10-04T00:00:00Z"}
    scene.create("Backfill", "past", {"schedule": {"name": "daily"}, **period})


def _spec(*tasks: Mapping[str, Any]) -> dict[str, Any]:
    return {"flowSpec": {"tasks": list(tasks)}}


def _runs(scene: Scene) -> None:
    each = task(
        "each",
        forEach={"count": "$(tasks.first.outputs.n)"},
        maxParallel=3,
        retry={"limit": 1},
        pod_exit_code="$(index < 2 ? '1,0' : '0')",
        pod_run_for=f"$(index < 2 ? '100ms' : '{LONG}')",
    )
    chain = {
        "tasks": [
            task("first", pod_outputs='{"n": 5}'),
            each,
            task("last", dependsOn=["each"], args=["$(tasks.first.outputs.n)"], pod_outputs='{"ok": true}'),
        ],
        "finally": [task("clean", script="echo clean")],
        "outputs": {"n": "$(tasks.first.outputs.n)", "ok": "$(tasks.last.outputs.ok)"},
    }
    scene.create("Flow", "chain", chain)
    scene.start_of("chain", "chain")
    sign_off = {"name": "sign-off", "approval": {"message": "Publish?"}, "dependsOn": ["first"]}
    scene.create("Flow", "approval", {"tasks": [task("first"), sign_off, task("last", dependsOn=["sign-off"])]})
    scene.start_of("approval", "approval")
    scene.start(task("job", workload="Job", pod_run_for=LONG), task("last", dependsOn=["job"]), name="jobs")
    scene.create(
        "Flow",
        "inner",
        {
            "tasks": [task("work", pod_run_for=LONG, pod_outputs='{"x": 1}')],
            "outputs": {"x": "$(tasks.work.outputs.x)"},
        },
    )
    call = {"name": "call", "flow": {"name": "inner"}}
    scene.start(call, task("last", args=["$(tasks.call.outputs.x)"]), name="parent")
    flaky = task("flaky", script="echo flaky", pod_exit_code="1,0", retry={"limit": 1, "delay": "180s"})
    scene.start(flaky, name="retrying")
    limited = {"params": [{"name": "time"}], "tasks": [task(pod_run_for="$(params.time)")], "concurrency": {"limit": 1}}
    scene.create("Flow", "limited", limited)
    scene.start_of("limited", "limited-1", params={"time": LONG})
    scene.reach("Running", "limited-1")
    scene.start_of("limited", "limited-2", params={"time": "0s"})
    bad = task("bad", dependsOn=["good"], pod_exit_code="3")
    scene.create("Flow", "failing", {"tasks": [task("good", pod_outputs='{"y": 2}'), bad]})
    scene.start_of("failing", "failed")
    scene.create("FlowRun", "suspended", {**_spec(task()), "suspend": True})


def _cache(scene: Scene) -> None:
    time = f"$(params.key == 'slow' ? '{LONG}' : '0s')"
    load = task("load", cache={"key": "$(params.key)", "ttl": TTL}, pod_run_for=time, pod_outputs='{"x": 7}')
    scene.create(
        "Flow", "cached", {"params": [{"name": "key"}], "tasks": [load], "outputs": {"x": "$(tasks.load.outputs.x)"}}
    )
    after = [{"name": "done", "flowRun": {"flow": "cached", "states": ["Completed"]}}]
    scene.create("Schedule", "follow", {"events": after, "runTemplate": {"spec": _spec(task())}})
    scene.until(lambda: _is_listening(scene), "the Schedule to listen")
    scene.start_of("cached", "cache-done", params={"key": "fast"})
    scene.reach("Completed", "cache-done")
    scene.start_of("cached", "cache-holder", params={"key": "slow"})
    _until_runs(scene, "cache-holder")
    scene.start_of("cached", "cache-waiter", params={"key": "slow"})


def _is_listening(scene: Scene) -> bool:
    schedule = scene.now["schedules"].get("follow")
    return schedule is not None and bool(schedule.status.get("conditions"))


def reach_the_middle(scene: Scene) -> None:
    """Wait until everything is as it is to be when the version changes."""
    for run, state in STATES.items():
        scene.reach(state, run, within_s=120)
    scene.until(lambda: scene.entry("each", "chain")["items"]["counts"].get("Completed") == 2, "two items to complete")
    scene.until(lambda: "CacheBusy" in str(scene.status("cache-waiter")), "the waiter to wait")
    scene.until(lambda: scene.entry("flaky", "retrying").get("attempts"), "the retry to wait")
    for run, count in {"chain": 3, "jobs": 1, "limited-1": 1, "cache-holder": 1}.items():
        _until_runs(scene, run, count)
    scene.until(lambda: _children(scene, names.LABEL_PARENT, "parent"), "the child run")
    _until_runs(scene, _children(scene, names.LABEL_PARENT, "parent")[0])
    scene.until(lambda: _states(scene, names.LABEL_BACKFILL, "past") == ["Completed", "Running"], "the Backfill")
    for run in _children(scene, names.LABEL_BACKFILL, "past"):
        if scene.status(run).get("state") == "Running":
            _until_runs(scene, run)
    scene.until(lambda: "Completed" in _states(scene, names.LABEL_SCHEDULE, "minutely"), "a tick", within_s=120)
    scene.until(lambda: _states(scene, names.LABEL_SCHEDULE, "follow") == ["Completed"], "the event's run")


def end(scene: Scene) -> None:
    """Do what people do after the change, and wait until everything has ended as it must."""
    old_ticks = set(_children(scene, names.LABEL_SCHEDULE, "minutely"))
    scene.patch("FlowRun", "approval", {"spec": {"approvals": [{"task": "sign-off", "decision": "Approve"}]}})
    scene.patch("FlowRun", "suspended", {"spec": {"suspend": False}})
    scene.start_of("cached", "cache-again", params={"key": "fast"})
    scene.create("FlowRun", "retried", {"retryOf": {"name": "failed"}})
    for run in PODS:
        scene.reach("Failed" if run in ("failed", "retried") else "Completed", run, within_s=120)
    for run, pods in PODS.items():
        scene.finish(run, within_s=120)
        assert len(scene.ever_attempts(run)) == pods, f"{run}: {scene.ever_attempts(run)}"
    assert scene.status("chain")["outputs"] == {"n": 5, "ok": True}
    assert scene.entry("load", "cache-again")["state"] == scene.entry("load", "cache-waiter")["state"] == "Cached"
    assert scene.status("cache-again")["outputs"] == {"x": 7}
    assert scene.entry("good", "retried")["state"] == "Completed"
    _derived(scene, names.LABEL_PARENT, "parent", 1)
    _derived(scene, names.LABEL_BACKFILL, "past", 3)
    # Four runs of the Flow `cached` have completed, one of them before the change.
    _derived(scene, names.LABEL_SCHEDULE, "follow", 4)
    scene.until(lambda: set(_children(scene, names.LABEL_SCHEDULE, "minutely")) - old_ticks, "the next tick", 120)
    _derived(scene, names.LABEL_SCHEDULE, "minutely", len(_ever(scene, names.LABEL_SCHEDULE, "minutely")))
    for flow in ("chain", "approval", "inner", "limited", "failing", "cached", "dated"):
        conditions = {each["type"]: each["status"] for each in scene.now["flows"][flow].status["conditions"]}
        assert conditions["Ready"] == "True", f"{flow}: {scene.now['flows'][flow].status}"


def _children(scene: Scene, label: str, value: str) -> list[str]:
    runs = list(scene.now["flowruns"].values())
    return sorted(run.metadata.name for run in runs if run.metadata.labels.get(label) == value)


def _states(scene: Scene, label: str, value: str) -> list[str]:
    return sorted(scene.status(run).get("state", "") for run in _children(scene, label, value))


def _ever(scene: Scene, label: str, value: str) -> dict[str, str]:
    """Return the runs by a label with their states. Those that are deleted too: a Schedule's history keeps three."""
    runs = [run for run in scene.ever["flowruns"].values() if run.metadata.labels.get(label) == value]
    return {run.metadata.name: run.status.get("state", "") for run in runs}


def _derived(scene: Scene, label: str, value: str, count: int) -> None:
    """Check that there were so many runs by a label, that each completed, and had one Pod."""
    wanted = ["Completed"] * count
    what = f"{count} runs with {label}={value} to complete"
    scene.until(lambda: list(_ever(scene, label, value).values()) == wanted, what, 120)
    for run in _ever(scene, label, value):
        assert len(scene.ever_attempts(run)) == 1, f"{run}: {scene.ever_attempts(run)}"


def _until_runs(scene: Scene, run: str, count: int = 1) -> None:
    """Wait until so many Pods of a run are running."""

    def running() -> bool:
        pods = [pod for pod in scene.pods() if pod.metadata.labels[names.LABEL_RUN] == run]
        return [pod.status.get("phase") for pod in pods].count("Running") == count

    scene.until(running, f"{count} Pods of {run} to run")
