"""Many events at the same time, and clients that hold the port of webhooks: no event is lost, no client waits."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest

from penstock_operator.triggers.observed import MOST
from penstock_operator.triggers.trigger import RUNS_AT_ONCE, RUNS_PER_S
from penstock_operator.triggers.webhook import IN_FLIGHT
from tests.api.delivery import Reply, Sender
from tests.api.event_scene import config, config_map, listening, made, made_one, schedule, secret, webhook
from tests.api.faults import Seen
from tests.api.replica import free_port
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

KINDS = ("--event-kinds", "v1/ConfigMap=configmaps")
TEAM = {"team": "data"}
SELECTED = {"selector": {"matchLabels": TEAM}}


def create_many(scene: Scene, names: list[str], **data: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: config_map(scene, name, TEAM, **data), names))


def test_many_changes_make_a_run_each_at_a_bounded_rate(scene, replica):
    more = RUNS_AT_ONCE // 2
    with replica(options=KINDS):
        schedule(scene, config(**SELECTED), run={"suspend": True})
        listening(scene)
        create_many(scene, [f"c{index}" for index in range(RUNS_AT_ONCE + more)])
        scene.until(lambda: len(made(scene)) == RUNS_AT_ONCE + more, "a run for each change", 120)
    times = sorted(datetime.fromisoformat(str(run.metadata.creation_timestamp)) for run in made(scene, ever=True))
    # While the first ones are created, some of the next may be already. And times are whole seconds.
    assert times[-1] - times[0] >= timedelta(seconds=more / RUNS_PER_S / 2)


def test_of_more_changes_than_are_remembered_none_is_lost(scene, replica):
    many = [f"c{index:04}" for index in range(2 * MOST + 200)]
    matter = {many[3], many[MOST + 3], many[-1]}
    when = " || ".join(f"event.object.metadata.name == '{name}'" for name in sorted({*matter, "first"}))
    wanted = config(**SELECTED, when=when, params={"what": "$(event.object.metadata.name)"})
    with replica(options=KINDS) as first:
        schedule(scene, wanted)
        listening(scene)
        config_map(scene, "first", TEAM)
        scene.until(lambda: scene.now["schedules"]["on"].status["events"]["it"].get("lastRun"), "that to be stored")
        first.kill()
    create_many(scene, many)
    with replica(options=KINDS):
        scene.until(lambda: len(made(scene)) == len(matter) + 1, "the runs of the others")
        assert {run.spec["params"]["what"] for run in made(scene)} == {*matter, "first"}


def test_ends_while_no_operator_ran_all_count_in_whatever_order_they_are_listed(scene, replica):
    many = 80
    scene.create("Flow", "load", {"tasks": [task()]})
    with replica() as first:
        schedule(scene, {"flowRun": {"flow": "load", "states": ["Completed"]}}, run={"suspend": True})
        listening(scene)
        scene.start_of("load", "first")
        scene.until(lambda: scene.now["schedules"]["on"].status["events"]["it"].get("lastRun"), "that to be stored")
        first.kill()
    now = datetime.now(tz=UTC).replace(microsecond=0)
    for index in range(many):
        # Lists are by name: the first one has ended last.
        ended = (now + timedelta(minutes=5 + many - index)).isoformat().replace("+00:00", "Z")
        scene.start_of("load", f"r{index:02}")
        scene.patch(
            "FlowRun", f"r{index:02}", {"status": {"state": "Completed", "completionTime": ended}}, is_status=True
        )
    with replica():
        scene.until(lambda: len(made(scene, ever=True)) == many + 1, "a run for each end", 120)


@contextmanager
def holding(port: int, namespace: str, count: int) -> Iterator[None]:
    """Hold connections that have begun a delivery, and send the next byte of it now and then."""
    head = (
        f"POST /events/{namespace}/on/it HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nwebhook-id: a\r\n"
        f"webhook-timestamp: {int(time.time())}\r\nwebhook-signature: v1,AAAA\r\n\r\n{{"
    )
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]
    try:
        for one in held:
            one.sendall(head.encode())
        yield
    finally:
        for one in held:
            one.close()


@pytest.mark.parametrize("count", [IN_FLIGHT, 400], ids=["as many as are handled at once", "more than are accepted"])
def test_clients_that_send_slowly_do_not_keep_a_genuine_delivery_out(scene, replica, count):
    port = free_port()
    with replica(options=("--event-port", str(port))) as running:
        sender = Sender(port, scene.namespace)
        sender.wait()
        secret(scene)
        schedule(scene, webhook())
        listening(scene)
        with holding(port, scene.namespace, count):
            assert sender.post({}).status == HTTPStatus.ACCEPTED
            assert sender.post({}, key=b"f" * 32) == Reply(HTTPStatus.UNAUTHORIZED, {"error": "invalid signature"})
            assert running.is_healthy()


@contextmanager
def forging(sender: Sender, count: int) -> Iterator[None]:
    """Post deliveries with a wrong signature, so many at any time, each after the answer to the one before."""
    has_ended = threading.Event()

    def forge() -> Counter[int]:
        answers: Counter[int] = Counter()
        while not has_ended.is_set():
            answers[sender.post({}, key=b"f" * 32).status] += 1
        return answers

    with ThreadPoolExecutor(count) as threads:
        forgers = [threads.submit(forge) for _ in range(count)]
        try:
            yield
        finally:
            has_ended.set()
    answered = sum((forger.result() for forger in forgers), Counter())
    assert answered[HTTPStatus.UNAUTHORIZED] > count, answered


def test_many_forged_deliveries_do_not_keep_a_genuine_one_out(scene, replica):
    port = free_port()
    with replica(options=("--event-port", str(port))) as running:
        sender = Sender(port, scene.namespace)
        sender.wait()
        secret(scene)
        schedule(scene, webhook())
        listening(scene)
        with holding(port, scene.namespace, IN_FLIGHT), forging(sender, 2 * IN_FLIGHT):
            for number in range(10):
                reply = sender.post({}, delivery=f"msg_{number}")
                assert reply.status == HTTPStatus.ACCEPTED, reply
            assert running.is_healthy()


def test_a_delivery_is_finished_though_its_sender_hangs_up(scene, replica, proxy):
    def creates_run(seen: Seen) -> bool:
        return seen.method == "POST" and seen.path.endswith("/flowruns")

    port = free_port()
    with replica(proxy.kubeconfig, options=("--event-port", str(port))):
        sender = Sender(port, scene.namespace)
        sender.wait()
        secret(scene)
        schedule(scene, webhook())
        listening(scene)
        with proxy.holding(creates_run):
            waiting = sender.send()
            proxy.wait_for_requests(creates_run, 1)
            waiting.close()
            # It has seen that by the time when it answers a later one.
            assert sender.post({}, key=b"f" * 32).status == HTTPStatus.UNAUTHORIZED
        run = made_one(scene)
        scene.until(
            lambda: scene.now["schedules"]["on"].status["events"]["it"].get("lastRun") == run.metadata.name,
            "the delivery to be stored",
        )
        assert sender.post({}).body == {"run": run.metadata.name}
