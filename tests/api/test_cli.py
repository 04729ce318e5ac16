"""The command line as a process of its own, against a real API server; the tests write the statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client

from penstock.api import names
from penstock.kube.connection import Connection
from tests.api.command_line import once
from tests.api.faults import FaultProxy, Seen

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]


def is_watch_of_runs(seen: Seen) -> bool:
    return seen.is_watch and seen.path.endswith("/flowruns")


def test_run_creates_a_run_with_values_of_the_declared_types(objects, typed):
    exit_code, lines = once(typed, "run", "orders", "-p", "day=2026-11-22", "-p", "count=3")
    (run,) = objects.runs()
    assert exit_code == 0
    assert lines == [f"flowrun.penstock.dev/{run['metadata']['name']} created"]
    assert run["metadata"]["name"].startswith("orders-")
    assert run["spec"] == {"flow": {"name": "orders"}, "params": {"day": "2026-11-22", "count": 3}}


def test_run_takes_the_name_that_it_is_given(objects, typed):
    assert once(typed, "run", "orders", "-p", "day=x", "--name", "mine") == (0, ["flowrun.penstock.dev/mine created"])
    exit_code, (message,) = once(typed, "run", "orders", "-p", "day=x", "--name", "mine")
    assert exit_code == 1
    assert "already exists" in message


def test_run_of_a_misspelt_flow_names_the_nearest(objects, typed):
    exit_code, (message,) = once(typed, "run", "oders")
    assert exit_code == 1
    assert "Flow oders not found" in message
    assert 'did you mean "orders"' in message
    assert objects.runs() == []


def test_watch_prints_one_line_for_each_change_and_succeeds_with_the_run(objects, typed):
    async def scenario() -> None:
        objects.create_run("r")
        command = await typed("watch", "r")
        await command.line("waiting for the operator")
        objects.set_status("r", "Running", {"name": "load", "state": "Running", "attempt": 1})
        await command.line("load  Running")
        objects.set_status(
            "r",
            "Running",
            {"name": "load", "state": "Completed", "attempt": 1},
            {"name": "report", "state": "Retrying", "attempt": 1, "reason": "ExitCode", "message": "one\ntwo\n"},
        )
        await command.line("report  Retrying   ExitCode: two")
        objects.set_status("r", "Completed", {"name": "load", "state": "Completed"}, is_finished=True)
        assert await command.end() == 0
        assert command.lines[-1] == "FlowRun r Completed"

    asyncio.run(scenario())


def test_watch_fails_with_the_run_and_says_which_task_did_it(objects, typed, namespace):
    objects.create_run("r")
    objects.set_status(
        "r",
        "Failed",
        {"name": "load", "state": "Failed", "attempt": 1, "reason": "ExitCode", "message": "no"},
        is_finished=True,
    )
    exit_code, lines = once(typed, "watch", "r")
    assert exit_code == 1
    assert lines[-3] == "  load Failed ExitCode: no"
    assert lines[-2].startswith(f"  details: penstock logs r --task load -n {namespace} --kubeconfig ")
    assert lines[-1] == "FlowRun r Failed"


def test_wait_prints_only_how_it_ended(objects, typed):
    async def scenario() -> None:
        command = await typed("run", "orders", "-p", "day=x", "--name", "r", "--wait")
        await command.line("created")
        objects.set_status("r", "Running", {"name": "load", "state": "Running"})
        objects.set_status("r", "Completed", {"name": "load", "state": "Completed"}, is_finished=True)
        assert await command.end() == 0
        assert command.lines == ["flowrun.penstock.dev/r created", "FlowRun r Completed"]

    asyncio.run(scenario())


def test_watch_ends_when_the_run_is_deleted(objects, typed):
    async def scenario() -> None:
        objects.create_run("r")
        command = await typed("watch", "r")
        await command.line("waiting for the operator")
        objects.delete_run("r")
        assert await command.end() == 1
        assert command.lines[-1] == "penstock: FlowRun r was deleted"

    asyncio.run(scenario())


def test_logs_of_a_run_without_pods_says_so(objects, typed):
    objects.create_run("r")
    exit_code, (message,) = once(typed, "logs", "r")
    assert exit_code == 1
    assert "none of its Pods has started" in message


class TestABrokenConnection:
    """Watching through a proxy that breaks."""

    @pytest.fixture
    def through(self, kubeconfig: Path, tmp_path: Path) -> Callable[[FaultProxy], Path]:
        def write(proxy: FaultProxy) -> Path:
            content = yaml.safe_load(kubeconfig.read_text())
            for each in content["clusters"]:
                each["cluster"] = {"server": proxy.connection.server}
            file = tmp_path / "kubeconfig"
            file.write_text(yaml.safe_dump(content))
            return file

        return write

    def test_a_watch_continues_after_a_broken_connection(self, objects, typed, through, connection: Connection):
        async def scenario() -> None:
            objects.create_run("r")
            async with FaultProxy(connection) as proxy:
                command = await typed("watch", "r", kubeconfig=through(proxy))
                await command.line("waiting for the operator")
                await proxy.wait_for_streams(1)
                proxy.cut_streams()
                await proxy.wait_for_requests(is_watch_of_runs, 2)
                objects.set_status("r", "Running", {"name": "load", "state": "Running"})
                await command.line("load  Running")
                objects.set_status("r", "Completed", is_finished=True)
                assert await command.end() == 0

        asyncio.run(scenario())

    def test_a_watch_that_expired_lists_again(self, objects, typed, through, connection: Connection):
        gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}

        async def scenario() -> None:
            objects.create_run("r")
            async with FaultProxy(connection) as proxy:
                proxy.fail(is_watch_of_runs, times=1, first_line=gone)
                command = await typed("watch", "r", kubeconfig=through(proxy))
                await proxy.wait_for_streams(1)
                objects.set_status("r", "Completed", is_finished=True)
                assert await command.end() == 0

        asyncio.run(scenario())

    def test_a_run_deleted_while_the_watch_had_expired_is_noticed(self, objects, typed, through, connection):
        gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}

        async def scenario() -> None:
            objects.create_run("r")
            async with FaultProxy(connection) as proxy:
                command = await typed("watch", "r", kubeconfig=through(proxy))
                await proxy.wait_for_streams(1)
                hold = proxy.fail(is_watch_of_runs, cut=True)
                proxy.cut_streams()
                await proxy.wait_for_requests(is_watch_of_runs, 2)
                objects.delete_run("r")
                proxy.fail(is_watch_of_runs, times=1, first_line=gone)
                proxy.faults.remove(hold)
                assert await command.end() == 1
                assert command.lines[-1] == "penstock: FlowRun r was deleted"

        asyncio.run(scenario())

    def test_credentials_that_are_refused_end_the_command(self, typed, through, connection: Connection):
        async def scenario() -> None:
            async with FaultProxy(connection) as proxy:
                proxy.fail(lambda _: True, status=401, reason="Unauthorized")
                command = await typed("watch", "r", kubeconfig=through(proxy))
                assert await command.end() == 1
                assert command.lines == ["penstock: the API server rejected the credentials of the kubeconfig"]

        asyncio.run(scenario())


def test_backfill_creates_one_and_follows_it_to_its_end(objects, typed, api, namespace):
    custom = kubernetes_client.CustomObjectsApi(api)
    place = (names.GROUP, names.VERSION, namespace)
    template = {"spec": {"flow": {"name": "orders"}, "params": {"day": "$(tick.date)"}}}
    schedule = {"cron": ["@daily"], "timeZone": "Europe/Berlin", "runTemplate": template}
    custom.create_namespaced_custom_object(
        *place,
        "schedules",
        {"apiVersion": names.API_VERSION, "kind": "Schedule", "metadata": {"name": "nightly"}, "spec": schedule},
    )
    words = ("backfill", "nightly", "--from", "2026-10-01", "--to", "2026-10-03", "--name", "october", "--watch")

    async def scenario() -> None:
        command = await typed(*words)
        await command.line("waiting for the operator")
        finished = {"type": "Finished", "reason": "Done", "message": "", "lastTransitionTime": "2026-11-22T12:00:00Z"}
        for state, done, counts in (("Running", 1, {"Completed": 1, "Running": 1}), ("Failed", 2, {"Failed": 1})):
            status = {"state": state, "progress": f"{done}/2", "counts": counts, "message": "2 ticks: 1 failed"}
            conditions = [{**finished, "status": str(state == "Failed")}]
            custom.patch_namespaced_custom_object_status(
                *place, "backfills", "october", {"status": {**status, "conditions": conditions}}
            )
            await command.line(f"{done}/2")
        assert await command.end() == 1
        assert command.lines[0] == "backfill.penstock.dev/october created"
        assert command.lines[-1] == "Backfill october Failed: 2 ticks: 1 failed"

    asyncio.run(scenario())
    made: Any = custom.get_namespaced_custom_object(*place, "backfills", "october")
    assert made["spec"]["from"] == "2026-10-01T00:00:00+02:00"
