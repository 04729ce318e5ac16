"""What a run says while its tasks can't start: why, how many of them, with one example, and once in an Event."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.notices import Notice
from penstock.engine.machine.facts import AttemptSeen, CreateHeld
from penstock.engine.machine.tasks.obstacles import ANNOUNCED_TASKS
from tests.simulation import World
from tests.unit.test_machine import finish, world


class Stage:
    """A world whose Pods wait as a test says, and all Events about its run."""

    def __init__(self, text: str) -> None:
        self.world: World = world(text)
        self.notices: list[Notice] = []
        self.writes = 0
        self.step()

    def step(self, after_s: float = 0.0) -> None:
        self.world.now += after_s
        for _ in range(2):
            found = self.world.step()
            self.notices += found.notices
            self.writes += found.is_changed
            self.world.flush()

    def wait(
        self, task: str, reason: str | None, message: str | None = None, *, item: int | None = None, **fields: Any
    ) -> None:
        """Have the Pod of a task wait for something, or for nothing that is known."""
        if "since" in fields:
            fields["waiting_since"] = fields.pop("since")
        for name, pod in list(self.world.pods.items()):
            if pod.key == TaskInstanceKey(task, item):
                seen = pod._replace(waiting_reason=reason, waiting_message=message, **({"is_held": False} | fields))
                self.world.pods[name] = seen
                self.world.repeat(seen)

    @property
    def head(self) -> tuple[Any, Any, Any]:
        status = self.world.status
        return status["state"], status.get("reason"), status.get("message")

    def entry(self, task: str) -> tuple[Any, Any, Any]:
        (found,) = (entry for entry in self.world.status["tasks"] if entry["name"] == task)
        return found["state"], found.get("reason"), found.get("message")


@pytest.mark.parametrize(
    "reason",
    ["ImagePullFailed", "Unschedulable", "MountFailed", "ContainerConfigError", "SandboxFailed", "ClaimUnbound"],
)
def test_a_task_that_cannot_start_says_why_in_its_entry_in_the_run_and_in_one_event(reason):
    stage = Stage("tasks: [{name: load}]")
    stage.wait("load", reason, 'secret "db" not found')
    stage.step()
    assert stage.entry("load") == ("Pending", reason, 'secret "db" not found')

    for _ in range(3):
        stage.step(after_s=5.0)

    assert stage.head == ("Pending", reason, 'task load: secret "db" not found')
    assert [(notice.is_warning, notice.reason, notice.message) for notice in stage.notices] == [
        (True, "TaskWaiting", f'task load: {reason}: secret "db" not found')
    ]


def test_of_many_tasks_that_wait_for_the_same_a_few_get_an_event_and_the_run_counts_all():
    stage = Stage(f"tasks: [{', '.join(f'{{name: t{number}}}' for number in range(40))}]")
    for number in range(40):
        stage.wait(f"t{number}", "QuotaExceeded" if number % 2 else "ImagePullFailed", "words")
    stage.step()

    for _ in range(3):
        stage.step(after_s=5.0)

    assert Counter(notice.message.split(": ")[1] for notice in stage.notices) == {
        "QuotaExceeded": ANNOUNCED_TASKS,
        "ImagePullFailed": ANNOUNCED_TASKS,
    }
    assert stage.head[2].startswith("40 waiting: 20 ")


def test_a_task_that_starts_promptly_costs_the_run_no_write_and_no_event():
    stage = Stage("tasks: [{name: load}]")
    stage.wait("load", "Unschedulable", "no node")
    stage.step()
    stage.wait("load", None)
    stage.step(after_s=4.0)
    before = stage.writes

    for _ in range(3):
        stage.step(after_s=5.0)

    assert (stage.writes, stage.notices) == (before, [])
    assert stage.head == ("Pending", None, None)


def test_a_run_says_when_what_was_in_its_way_is_gone():
    stage = Stage("tasks: [{name: load}]")
    stage.wait("load", "MountFailed", "words")
    stage.step()
    stage.step(after_s=5.0)
    assert stage.head[1] == "MountFailed"

    stage.wait("load", None)
    stage.step(after_s=1.0)

    assert stage.head == ("Pending", None, None)


def test_a_fan_out_shows_how_many_items_wait_for_what_and_one_example():
    stage = Stage("tasks: [{name: load, forEach: {count: 5}}]")
    for item in (1, 2, 4):
        stage.wait("load", "ImagePullFailed", "no such image", item=item)
    stage.wait("load", "Unschedulable", "too big", item=3)
    stage.step()
    stage.step(after_s=5.0)

    words = "4 waiting: 3 ImagePullFailed, 1 Unschedulable"
    assert stage.entry("load") == ("Running", "ImagePullFailed", f"{words}; item 1: no such image")
    assert stage.head == ("Pending", "ImagePullFailed", f"{words}; task load[1]: no such image")
    assert len(stage.notices) == 2, "one Event a reason, not one an item"


def test_a_wait_in_a_queue_is_shown_after_what_does_not_end_by_itself():
    stage = Stage("tasks: [{name: big}, {name: load}]")
    stage.wait("big", "AdmissionQueue", "suspended")
    stage.step()
    stage.wait("load", "ImagePullFailed", "no such image")
    stage.step(after_s=1.0)
    stage.step(after_s=9.0)

    assert stage.head[1:] == (
        "ImagePullFailed",
        "2 waiting: 1 AdmissionQueue, 1 ImagePullFailed; task load: no such image",
    )
    assert [notice.is_warning for notice in stage.notices] == [False, True]


def test_what_a_pod_waits_for_from_its_creation_on_is_news_after_the_reply_to_its_create():
    existing = world("tasks: [{name: load}]")
    existing.step()
    (pod,) = existing.live_pods()
    existing.machine.observe(pod._replace(version=7), existing.now)

    assert not existing.machine.is_news(pod._replace(version=7))
    assert existing.machine.is_news(pod._replace(version=7, waiting_reason="AdmissionQueue", is_held=True))
    assert not existing.machine.is_news(pod._replace(version=6, waiting_reason="AdmissionQueue", is_held=True))


def test_what_a_pod_waits_for_stays_shown_when_the_reply_to_its_create_comes_after_the_watch():
    stage = Stage("tasks: [{name: load}]")
    (reply,) = stage.world.live_pods()
    stage.wait("load", "AdmissionQueue", "gated", is_held=True)
    stage.world.machine.observe(reply._replace(has_status=False), stage.world.now)
    stage.step()

    assert stage.entry("load") == ("Queued", "AdmissionQueue", "gated")


def test_a_quota_that_holds_a_task_is_shown_in_the_run():
    existing = world("tasks: [{name: load}]")
    existing.machine.advance(existing.now)
    existing.machine.observe(CreateHeld(TaskInstanceKey("load"), 1, "exceeded quota: pods"), existing.now)
    existing.machine.advance(existing.now)
    existing.now += 5.0
    existing.machine.advance(existing.now)
    existing.flush()

    assert existing.status["reason"] == "QuotaExceeded"
    assert existing.status["message"] == "task load: exceeded quota: pods"


def test_a_running_task_whose_node_does_not_report_is_shown():
    stage = Stage("tasks: [{name: load}]")
    (pod,) = stage.world.live_pods()
    stage.world.progress(pod)
    stage.step()
    stage.wait("load", "NodeLost", "node n does not respond")
    stage.step()
    stage.step(after_s=5.0)

    assert stage.entry("load") == ("Running", "NodeLost", "node n does not respond")
    assert stage.head == ("Running", "NodeLost", "task load: node n does not respond")


def test_a_restart_still_shows_what_is_in_the_way():
    stage = Stage("tasks: [{name: load, forEach: {count: 2}}]")
    stage.wait("load", "ImagePullFailed", "no such image", item=1)
    stage.step()
    stage.step(after_s=5.0)
    before = stage.head

    stage.world.crash()
    stage.world.step()
    stage.world.flush()

    assert stage.head == before


HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("reason", "hours"),
    [
        *((reason, 1) for reason in ("ImagePullFailed", "ContainerConfigError", "MountFailed", "SandboxFailed")),
        *((reason, 24) for reason in ("Unschedulable", "ClaimUnbound", "WorkspaceUnbound")),
    ],
)
def test_what_does_not_end_by_itself_has_a_default_queue_timeout(reason, hours):
    stage = Stage("tasks: [{name: load}]")
    stage.wait("load", reason, "words", since=stage.world.now)
    stage.step(after_s=hours * HOUR_S - 1)
    assert stage.entry("load")[0] == "Pending"

    stage.world.crash()
    stage.wait("load", reason, "words", since=stage.world.now - hours * HOUR_S + 1)
    stage.step(after_s=2)
    finish(stage.world)

    message = f"not started within the default queueTimeout of {hours}h: words"
    assert stage.entry("load") == ("TimedOut", reason, message)
    assert stage.head == ("Failed", "TaskFailed", f"task load timed out: {reason}: {message}")


@pytest.mark.parametrize(
    ("fields", "reason", "is_held"),
    [
        pytest.param("", "AdmissionQueue", True, id="a queue holds it"),
        pytest.param("", "NodeLost", False, id="its node does not report"),
        pytest.param("", None, False, id="nothing is known"),
        pytest.param(", queueTimeout: 0s", "ImagePullFailed", False, id="the task has no limit"),
        pytest.param(", queueTimeout: 100h", "ImagePullFailed", False, id="the task has a longer one"),
    ],
)
def test_the_default_queue_timeout_does_not_count(fields, reason, is_held):
    stage = Stage(f"tasks: [{{name: load{fields}}}]")
    stage.wait("load", reason, "words", since=stage.world.now, is_held=is_held)

    stage.step(after_s=48 * HOUR_S)

    assert stage.entry("load")[0] in ("Pending", "Queued")


def test_time_in_a_queue_does_not_count_towards_the_default():
    stage = Stage("tasks: [{name: load}]")
    began_at = stage.world.now
    stage.wait("load", "AdmissionQueue", "gated", is_held=True)
    stage.step(after_s=30 * HOUR_S)
    stage.wait("load", "AdmissionQueue", "still gated", is_held=True)
    stage.wait("load", "Unschedulable", "no node", since=began_at)

    stage.step(after_s=23 * HOUR_S)
    assert stage.entry("load")[0] == "Pending"
    stage.step(after_s=2 * HOUR_S)
    finish(stage.world)
    assert stage.entry("load")[:2] == ("TimedOut", "Unschedulable")


def test_the_default_queue_timeout_adds_nothing_to_the_status():
    stage = Stage("tasks: [{name: load, forEach: {count: 2}}, {name: other}]")
    stage.wait("load", "ImagePullFailed", "words", since=stage.world.now, item=0)
    stage.wait("other", "ImagePullFailed", "words", since=stage.world.now)
    stage.step(after_s=10)

    assert "queueTime" not in str(stage.world.status)


@pytest.mark.parametrize("text", ["{name: load}", "{name: load, forEach: {count: 2}}"])
def test_a_run_that_times_out_keeps_what_a_task_was_waiting_for(text):
    stage = Stage(f"timeout: 60s\ntasks: [{text}]")
    for item in (None, 0, 1):
        stage.wait("load", "ImagePullFailed", "no such image\nmore words", item=item)
    stage.step()

    stage.step(after_s=61)
    finish(stage.world)

    cause = "ImagePullFailed: no such image"
    assert stage.head == (
        "TimedOut",
        "RunTimedOut",
        f"the run took longer than its timeout; task load was waiting: {cause}",
    )
    assert cause in stage.entry("load")[2]


def test_a_run_that_ends_does_not_keep_what_was_in_its_way():
    stage = Stage("tasks: [{name: load}, {name: other}]")
    stage.wait("other", "Unschedulable", "no node")
    stage.step()
    stage.step(after_s=5.0)
    (pod,) = (pod for pod in stage.world.live_pods() if pod.key.task == "other")
    seen = AttemptSeen(pod.key, 1, 0, 0, pod.pod, pod.uid, pod.created_at)
    stage.world.pods[pod.pod] = seen
    stage.world.repeat(seen)
    finish(stage.world)

    assert stage.head == ("Completed", None, None)


def test_a_run_that_times_out_says_that_the_node_of_a_running_task_does_not_respond():
    stage = Stage("timeout: 60s\ntasks: [{name: load}]")
    stage.wait("load", "NodeLost", "node n1 does not respond", started_at=stage.world.now)
    stage.step()

    stage.step(after_s=61.0)

    words = "the run took longer than its timeout; it was waiting: NodeLost: node n1 does not respond"
    assert stage.entry("load")[2] == words
