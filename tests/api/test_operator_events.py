"""Events of Schedules by the real operator on a real API server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from penstock.api import names
from penstock_operator.triggers.webhook import MAX_BODY_BYTES
from tests.api.delivery import Reply, Sender
from tests.api.event_scene import (
    conditions,
    config,
    config_map,
    listening,
    made,
    made_one,
    schedule,
    secret,
    webhook,
)
from tests.api.replica import Replica, free_port
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

KINDS = "v1/ConfigMap=configmaps"
UNAUTHORIZED = {"error": "invalid signature"}

Start = Callable[..., Replica]


@pytest.fixture
def event_port() -> int:
    return free_port()


@pytest.fixture
def start(kubeconfig, crds, namespace, tmp_path, event_port) -> Iterator[Start]:
    """Starts replicas, and stops them at the end."""
    lease = f"events-{uuid.uuid4().hex[:8]}"
    started: list[Replica] = []

    def start(*, kinds: str = KINDS, port: int | None = event_port, identity: str = "one") -> Replica:
        options = ("--event-kinds", kinds, *(("--event-port", str(port)) if port else ()))
        replica = Replica(kubeconfig, tmp_path, namespace=namespace, lease=lease, identity=identity, options=options)
        started.append(replica)
        return replica.__enter__()

    yield start
    for replica in started:
        replica.__exit__()
        assert "Traceback" not in replica.log, replica.log


# Ends of runs


def load(scene: Scene, name: str, exit_code: str = "0", **metadata: Any) -> None:
    if "load" not in scene.now["flows"]:
        scene.create("Flow", "load", {"params": [{"name": "day"}, {"name": "exit"}], "tasks": [task(), ending()]})
        scene.until(lambda: "load" in scene.now["flows"], "the Flow to be there")
    scene.create(
        "FlowRun", name, {"flow": {"name": "load"}, "params": {"day": "monday", "exit": exit_code}}, **metadata
    )


def ending() -> dict[str, Any]:
    """A task that ends as the param `exit` says."""
    return task("end", pod_exit_code="1") | {"when": "params.exit == '1'"}


def test_the_end_of_a_run_in_one_of_the_states_makes_a_run_with_what_it_gave(scene, start):
    # A run that failed makes nothing of it
    start()
    what = {"what": "$(event.run.name) $(event.run.state) $(event.run.params.day)"}
    wanted = {"flow": "load", "states": ["Completed"], "params": what}
    schedule(scene, {"flowRun": wanted})
    listening(scene)

    load(scene, "bad", exit_code="1")
    scene.reach("Failed", "bad")
    load(scene, "good")

    run = made_one(scene)
    assert run.spec["params"] == {"what": "good Completed monday"}
    assert run.metadata.labels[names.LABEL_EVENT] == "it"
    scene.reach("Completed", run.metadata.name)
    scene.until(
        lambda: scene.now["schedules"]["on"].status["events"]["it"].get("lastRun") == run.metadata.name,
        "the run to be named",
    )


def test_the_end_of_a_run_of_any_flow_makes_a_run_if_its_labels_are_selected(scene, start):
    start()
    what = {"what": "$(event.run.name): $(event.run.message)"}
    wanted = {"selector": {"matchLabels": {"team": "data"}}, "states": ["Failed"], "params": what}
    schedule(scene, {"flowRun": wanted})
    listening(scene)

    load(scene, "other-team", exit_code="1")
    scene.reach("Failed", "other-team")
    inline = {"flowSpec": {"tasks": [task(pod_exit_code="3")]}}
    scene.create("FlowRun", "inline", inline, labels={"team": "data"})

    assert made_one(scene).spec["params"] == {"what": "inline: task main failed: exit code 3"}


def test_an_end_while_no_operator_ran_is_not_missed_and_none_counts_twice(scene, start):
    first = start()
    schedule(scene, {"flowRun": {"flow": "load", "states": ["Failed", "Completed"]}})
    listening(scene)
    load(scene, "seen")
    scene.until(lambda: len(made(scene)) == 1, "the first run to be made")
    scene.until(lambda: scene.now["schedules"]["on"].status["events"]["it"].get("lastRun"), "that to be stored")
    first.kill()

    # Ends without an operator: only its status is written.
    load(scene, "unseen")
    status = {"state": "TimedOut", "completionTime": "2999-01-01T00:00:00Z"}
    scene.patch("FlowRun", "unseen", {"status": status}, is_status=True)
    # What it made is gone, and would be made again if its end counted twice.
    scene.delete("FlowRun", made(scene)[0].metadata.name)

    start()
    scene.until(lambda: len(made(scene, ever=True)) == 2, "the second run to be made")
    load(scene, "last")
    scene.until(lambda: len(made(scene, ever=True)) == 3, "the third run to be made")
    assert len({run.metadata.annotations[names.ANNOTATION_EVENT] for run in made(scene, ever=True)}) == 3


def test_a_retry_that_completes_is_an_end_of_its_flow_too(scene, start):
    start()
    schedule(scene, {"flowRun": {"flow": "load", "states": ["Completed"], "params": {"what": "$(event.run.flow)"}}})
    listening(scene)
    load(scene, "bad", exit_code="1")
    scene.reach("Failed", "bad")
    scene.create("FlowRun", "other", {"flowSpec": {"tasks": [task()]}})
    scene.reach("Completed", "other")

    labels = {names.LABEL_FLOW: "load"}
    retry = {"retryOf": {"name": "bad", "revision": "Latest"}}
    scene.patch("Flow", "load", {"spec": {"tasks": [task()]}})
    scene.create("FlowRun", "again", retry, labels=labels)
    scene.reach("Completed", "again")

    assert made_one(scene).spec["params"] == {"what": "load"}


def test_runs_do_not_trigger_each_other_forever(scene, start):
    start()
    scene.create("Flow", "echo", {"tasks": [task()]})
    event = {"flowRun": {"flow": "echo", "states": ["Completed"]}}
    for name in ("ping", "pong"):
        spec = {"events": [{"name": "it", **event}], "runTemplate": {"spec": {"flow": {"name": "echo"}}}}
        scene.create("Schedule", name, spec)
        listening(scene, name)

    scene.start_of("echo", "first")

    failed = scene.until(
        lambda: next(
            (name for name in ("ping", "pong") if conditions(scene, name)["Listening"]["status"] == "False"), ""
        ),
        "the chain to be cut",
    )
    assert "chained runs" in listening(scene, failed, reason="EventFailed")["message"]
    assert scene.event("EventFailed", failed).type == "Warning"


def test_a_child_run_of_a_run_that_the_schedule_created_does_not_count(scene, start):
    start()
    scene.create("Flow", "inner", {"tasks": [task()]})
    child = {"name": "child", "flow": {"name": "inner"}}
    scene.create("Flow", "outer", {"params": [{"name": "after"}], "tasks": [child]})
    wanted = {"selector": {}, "states": ["Completed"], "params": {"after": "$(event.run.name)"}}
    spec = {"events": [{"name": "it", "flowRun": wanted}], "runTemplate": {"spec": {"flow": {"name": "outer"}}}}
    scene.create("Schedule", "on", spec)
    listening(scene)

    scene.start_of("inner", "first")
    scene.reach("Completed", made_one(scene).metadata.name)
    # Ends are handled in their order: when this one is, those of the child and of its parent were.
    scene.start_of("inner", "second")
    scene.until(lambda: "second" in after(scene), "the run after the second one to be made")

    assert after(scene) == {"first", "second"}


def after(scene: Scene) -> set[str]:
    return {run.spec["params"]["after"] for run in made(scene, ever=True)}


# Changes of objects


def test_an_object_that_is_created_or_changed_makes_a_run_for_each_change(scene, start):
    start()
    config_map(scene, "before", {"team": "data"}, rows="0")
    wanted = config(
        selector={"matchLabels": {"team": "data"}},
        when="int(event.object.data.rows) > 10",
        params={"what": "$(event.object.metadata.name): $(event.object.data.rows)"},
    )
    schedule(scene, wanted)
    listening(scene)

    config_map(scene, "of-others", {"team": "web"}, rows="50")
    config_map(scene, "few", {"team": "data"}, rows="3")
    config_map(scene, "many", {"team": "data"}, rows="11")
    scene.until(lambda: len(made(scene)) == 1, "a run to be made")
    scene.core.patch_namespaced_config_map("before", scene.namespace, {"data": {"rows": "12"}})
    scene.until(lambda: len(made(scene)) == 2, "a run of the changed one to be made")

    assert sorted(run.spec["params"]["what"] for run in made(scene)) == ["before: 12", "many: 11"]


def test_a_change_while_no_operator_ran_makes_a_run_and_an_old_one_none(scene, start):
    first = start()
    schedule(scene, config(selector={"matchLabels": {"team": "data"}}))
    listening(scene)
    config_map(scene, "old", {"team": "data"}, a="1")
    scene.until(lambda: len(made(scene)) == 1, "the first run to be made")
    scene.until(lambda: scene.now["schedules"]["on"].status["events"]["it"].get("lastRun"), "that to be stored")
    first.kill()
    scene.delete("FlowRun", made(scene)[0].metadata.name)
    config_map(scene, "new", {"team": "data"}, a="1")

    start()
    scene.until(lambda: len(made(scene, ever=True)) == 2, "the second run to be made")
    scene.core.patch_namespaced_config_map("old", scene.namespace, {"data": {"a": "2"}})
    scene.until(lambda: len(made(scene, ever=True)) == 3, "the third run to be made")
    assert len({run.metadata.annotations[names.ANNOTATION_EVENT] for run in made(scene, ever=True)}) == 3


def test_a_condition_that_could_not_be_evaluated_is_reported_and_the_next_event_is_handled(scene, start):
    replica = start()
    schedule(scene, config(selector={"matchLabels": {"team": "data"}}, when="int(event.object.data.rows) > 10"))
    listening(scene)

    config_map(scene, "without", {"team": "data"}, other="1")
    assert "spec.events[0].resource.when" in listening(scene, reason="EventFailed")["message"]
    assert scene.event("EventFailed", "on").type == "Warning"
    config_map(scene, "with", {"team": "data"}, rows="11")

    made_one(scene)
    listening(scene)
    assert replica.is_healthy()


@pytest.mark.parametrize(
    ("resource", "reason", "said"),
    [
        pytest.param({"apiVersion": "v1", "kind": "Pod"}, "KindNotAllowed", "v1/ConfigMap", id="a kind not allowed"),
        pytest.param({"apiVersion": "example.com/v1", "kind": "Ghost"}, "CannotWatch", "Ghost", id="no such kind"),
    ],
)
def test_a_kind_that_cannot_be_watched_is_reported_and_ticks_continue(scene, start, resource, reason, said):
    start(kinds=f"{KINDS},example.com/v1/Ghost=ghosts")
    schedule(scene, {"resource": resource}, cron=["* * * * *"])

    found = listening(scene, reason=reason)

    assert found["status"] == "False"
    assert said in found["message"]
    assert conditions(scene)["Ready"]["status"] == "True"
    assert scene.now["schedules"]["on"].status["nextTickTimes"]


def test_secrets_are_never_watched(scene, start):
    start()
    schedule(scene, {"resource": {"apiVersion": "v1", "kind": "Secret"}})
    scene.until(
        lambda: conditions(scene).get("Ready", {}).get("reason") == "InvalidSchedule", "the Schedule to be refused"
    )
    assert "Secrets cannot be watched" in conditions(scene)["Ready"]["message"]


def test_a_suspended_schedule_observes_no_event_and_does_not_handle_it_later(scene, start):
    start()
    schedule(scene, config(selector={"matchLabels": {"team": "data"}}), suspend=True)
    listening(scene, reason="Suspended")
    config_map(scene, "meanwhile", {"team": "data"})

    scene.patch("Schedule", "on", {"spec": {"suspend": None}})
    listening(scene)
    config_map(scene, "after", {"team": "data"})

    run = made_one(scene)
    after = scene.core.read_namespaced_config_map("after", scene.namespace)
    assert run.metadata.annotations[names.ANNOTATION_EVENT].startswith(after.metadata.uid)


@pytest.mark.parametrize(
    ("on_limit", "first", "second"),
    [
        pytest.param("Queue", "Running", "Queued", id="it waits"),
        pytest.param("Skip", "Running", "Skipped", id="it is skipped"),
        pytest.param("Replace", "Cancelled", "Running", id="it takes the other's place"),
    ],
)
def test_of_runs_by_events_as_many_go_at_once_as_the_flow_says(scene, start, on_limit, first, second):
    start()
    limited = {"tasks": [task(pod_outcome="run")], "concurrency": {"limit": 1, "onLimit": on_limit}}
    scene.create("Flow", "orders", limited)
    event = config(selector={"matchLabels": {"team": "data"}})
    schedule(scene, event, run={"flow": {"name": "orders"}, "flowSpec": None})
    listening(scene)

    config_map(scene, "one", {"team": "data"})
    earlier = made_one(scene)
    scene.reach("Running", earlier.metadata.name)
    config_map(scene, "two", {"team": "data"})
    scene.until(lambda: len(made(scene)) == 2, "the second run to be made")
    (later,) = [run for run in made(scene) if run.metadata.uid != earlier.metadata.uid]

    scene.reach(second, later.metadata.name)
    scene.reach(first, earlier.metadata.name)
    assert later.metadata.labels[names.LABEL_FLOW] == "orders"


def test_what_penstock_itself_has_created_is_not_an_event(scene, start):
    start()
    # Every namespace is given a ConfigMap of that name, some time after its creation.
    others = "event.object.metadata.name != 'kube-root-ca.crt'"
    schedule(scene, config(when=others, params={"what": "$(event.object.metadata.name)"}))
    listening(scene)
    scene.create("Flow", "load", {"tasks": [task()]})
    scene.start_of("load", "first")
    scene.finish("first")
    assert scene.status("first")["revision"], "a ConfigMap has the revision"

    config_map(scene, "of-a-person")

    run = made_one(scene)
    assert run.spec["params"] == {"what": "of-a-person"}


# Webhooks


@pytest.fixture
def sender(event_port, namespace) -> Sender:
    return Sender(event_port, namespace)


def test_a_signed_delivery_makes_one_run_however_often_it_comes(scene, start, sender):
    start()
    secret(scene)
    schedule(scene, webhook(when="event.body.kind == 'order'", params={"what": "$(event.body.id)"}))
    listening(scene)

    first = sender.post({"kind": "order", "id": "o-1"})
    again = sender.post({"kind": "order", "id": "o-1"}, late_s=-20)

    assert first.status == HTTPStatus.ACCEPTED
    assert again == first
    run = made_one(scene)
    assert first.body == {"run": run.metadata.name}
    assert run.spec["params"] == {"what": "o-1"}
    assert run.metadata.annotations[names.ANNOTATION_EVENT] == "msg_1"
    assert sender.post({"kind": "refund", "id": "o-2"}, delivery="msg_2") == Reply(
        200, {"run": None, "ignored": "when is false"}
    )
    assert sender.post({"kind": "order", "id": "o-3"}, delivery="msg_3").status == HTTPStatus.ACCEPTED
    scene.until(lambda: len(made(scene)) == 2, "the second run")


def test_another_replica_answers_a_repeated_delivery_with_the_same_run(scene, start, sender, event_port):
    start()
    other_port = free_port()
    start(port=other_port, identity="two")
    other = Sender(other_port, scene.namespace)
    sender.wait()
    other.wait()
    secret(scene)
    schedule(scene, webhook())
    listening(scene)

    first, again = sender.post({}), other.post({})

    assert (first.status, again) == (HTTPStatus.ACCEPTED, first)
    made_one(scene)


def test_a_delivery_cannot_be_replayed_after_its_run_was_deleted(scene, start, sender):
    start()
    secret(scene)
    schedule(scene, webhook())
    listening(scene)
    first = sender.post({})
    scene.until(lambda: made(scene), "the run")
    scene.delete("FlowRun", first.body["run"])

    assert sender.post({}) == first
    assert len(made(scene, ever=True)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"key": b"f" * 32}, id="signed by another"),
        pytest.param({"late_s": 360}, id="too old"),
        pytest.param({"late_s": -360}, id="of a time to come"),
        pytest.param({"signature": "v1,AAAA"}, id="a wrong signature"),
        pytest.param({"id": ""}, id="no id"),
        pytest.param({"to": "on/other"}, id="no such event"),
        pytest.param({"to": "off/it"}, id="no such Schedule"),
        pytest.param({"to": "%2E%2E/it"}, id="a name that leads to another path"),
        pytest.param({"to": "on%2F..%2F../it"}, id="a name that is a path"),
        pytest.param({"to": "clock/it"}, id="no webhook"),
        pytest.param({"to": "keyless/it"}, id="no such key"),
        pytest.param({"to": "weak/it"}, id="a secret that is none"),
        pytest.param({"to": "curious/it"}, id="a Secret that the operator may not read"),
    ],
)
def test_every_delivery_that_is_not_genuine_gets_the_same_answer(scene, start, sender, changed):
    start()
    secret(scene)
    secret(scene, "hunter2", name="weak")
    secret(scene, name="others")
    schedule(scene, webhook())
    schedule(scene, {"flowRun": {"flow": "load", "states": ["Failed"]}}, name="clock")
    schedule(scene, {"webhook": {"secretRef": {"name": "penstock-webhook", "key": "none"}}}, name="keyless")
    schedule(scene, {"webhook": {"secretRef": {"name": "weak", "key": "orders"}}}, name="weak")
    schedule(scene, {"webhook": {"secretRef": {"name": "others", "key": "orders"}}}, name="curious")
    listening(scene)

    assert sender.post({}, **changed) == Reply(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED)

    if changed.get("to") in ("keyless/it", "weak/it", "curious/it"):
        name = changed["to"].partition("/")[0]
        assert listening(scene, name, reason="EventFailed")
        assert "hunter2" not in json.dumps(scene.now["schedules"][name].status)
        assert scene.event("EventFailed", name).type == "Warning"
    assert scene.now["flowruns"] == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b'"' + b"x" * MAX_BODY_BYTES + b'"', HTTPStatus.REQUEST_ENTITY_TOO_LARGE, id="too large"),
        pytest.param(b"{", HTTPStatus.BAD_REQUEST, id="no JSON"),
        pytest.param(b"[" * 100 + b"]" * 100, HTTPStatus.BAD_REQUEST, id="too deep"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, HTTPStatus.BAD_REQUEST, id="far too deep"),
    ],
)
def test_an_invalid_body_is_refused_and_the_operator_continues(scene, start, sender, body, status):
    replica = start()
    secret(scene)
    schedule(scene, webhook())
    listening(scene)

    assert sender.post(body).status == status
    assert sender.post({}, delivery="msg_2").status == HTTPStatus.ACCEPTED
    assert replica.is_healthy()


def test_an_expression_without_a_value_is_reported_to_the_sender_and_under_the_schedule(scene, start, sender):
    start()
    secret(scene)
    schedule(scene, webhook(params={"what": "$(event.body.id)"}))
    listening(scene)

    status, body = sender.post({"no": "id"})

    assert status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "spec.events[0].webhook.params.what" in body["error"]
    assert "event it: spec.events[0]" in listening(scene, reason="EventFailed")["message"]
    assert scene.event("EventFailed", "on").type == "Warning"
    assert sender.post({"id": "x"}, delivery="msg_2").status == HTTPStatus.ACCEPTED
    listening(scene)


def test_a_suspended_schedule_accepts_deliveries_and_creates_no_run(scene, start, sender):
    start()
    secret(scene)
    schedule(scene, webhook(), suspend=True)
    listening(scene, reason="Suspended")

    assert sender.post({}) == Reply(HTTPStatus.OK, {"run": None, "ignored": "the Schedule is suspended"})
    assert scene.now["flowruns"] == {}


def test_a_schedule_whose_only_event_cannot_be_watched_is_not_ready(scene, start):
    start(port=None)
    schedule(scene, webhook())
    run_end = {"name": "end", "flowRun": {"flow": "orders", "states": ["Failed"]}}
    schedule(scene, {}, "both", events=[{"name": "it", **webhook()}, run_end])

    assert "events.webhook.enabled" in listening(scene, reason="WebhooksOff")["message"]
    scene.until(lambda: conditions(scene)["Ready"]["reason"] == "WebhooksOff", "the Schedule not to be ready")
    assert conditions(scene)["Ready"]["status"] == "False"
    assert "events.webhook.enabled" in conditions(scene)["Ready"]["message"]
    assert listening(scene, "both", reason="PartlyListening")["status"] == "False"
    scene.until(lambda: conditions(scene, "both")["Ready"]["status"] == "True", "the other event to be listened to")
