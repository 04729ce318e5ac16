"""Commands that only look, against a real API server; the tests write the statuses."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client

from tests.api.command_line import FLOW, once

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

SPEC = {"tasks": [{"name": "load", "image": "x"}, {"name": "report", "image": "x", "dependsOn": ["load"]}]}


def test_a_run_that_is_being_cancelled_shows_it_before_any_operator_has_read_it(objects, typed):
    objects.create_run("r")
    objects.set_status("r", "Running", {"name": "load", "state": "Running"}, startTime="2026-11-22T12:00:00Z")
    assert once(typed, "suspend", "r")[0] == 0
    assert "Suspending" in once(typed, "get", "run", "r")[1][1]
    assert once(typed, "cancel", "r")[0] == 0
    assert "Cancelling" in once(typed, "get", "run", "r")[1][1]
    assert "  shutdown   Cancel" in once(typed, "describe", "r")[1]


def test_describe_finds_the_kind_by_itself_or_takes_it(objects, typed):
    schedule = {"cron": ["30 2 * * *"], "runTemplate": {"spec": {"flow": {"name": "orders"}, "params": {"day": "x"}}}}
    body = {"apiVersion": "penstock.dev/v1alpha1", "kind": "Schedule", "metadata": {"name": "nightly"}}
    objects.create({**body, "spec": schedule})
    objects.create_run("orders")
    assert once(typed, "describe", "nightly")[1][0].startswith("Schedule nightly  not handled")
    assert once(typed, "describe", "orders")[1][0].startswith("FlowRun orders")
    lines = once(typed, "describe", "flow", "orders")[1]
    assert lines[0].startswith("Flow orders")
    assert "  nightly: cron 30 2 * * *, New" in lines
    assert any(line.startswith("  orders   orders") for line in lines), "its run"
    exit_code, (line,) = once(typed, "describe", "schedule/nigthly")
    assert (exit_code, 'did you mean "nightly"' in line) == (1, True)


class TestDelete:
    """Of any kind."""

    def test_it_needs_a_terminal_or_yes(self, objects, typed):
        objects.create_run("r")
        exit_code, (line,) = once(typed, "delete", "run", "r")
        assert (exit_code, "add --yes" in line) == (1, True)
        assert objects.run("r")

    def test_several_objects_are_deleted_by_name(self, objects, typed):
        for name in ("a", "b", "c"):
            objects.create_run(name)
        exit_code, lines = once(typed, "delete", "run/a", "b", "--yes")
        assert (exit_code, lines) == (0, ["flowrun.penstock.dev/a deleted", "flowrun.penstock.dev/b deleted"])
        assert [run["metadata"]["name"] for run in objects.runs()] == ["c"]
        assert once(typed, "delete", "flow", "orders", "-y")[1] == ["flow.penstock.dev/orders deleted"]

    def test_nothing_is_deleted_if_one_name_is_wrong(self, objects, typed):
        objects.create_run("a")
        exit_code, (line,) = once(typed, "delete", "run", "a", "nothing", "--yes")
        assert (exit_code, "FlowRun nothing not found" in line) == (1, True)
        assert objects.run("a")


def test_logs_that_are_gone_are_linked_to_by_the_template_of_the_installation(objects, typed, core):
    objects.create_run("r")
    objects.set_status("r", "Failed", {"name": "load", "state": "Failed", "attempt": 1}, is_finished=True)
    body: Any = {"metadata": {"name": "penstock-cli"}, "data": {"logUrl": "https://logs/{run}/{task}"}}
    core.create_namespaced_config_map("kube-public", body)
    try:
        assert once(typed, "logs", "r", "--task", "load")[1][0].endswith("; see https://logs/r/load")
        assert "      logs: https://logs/r/load" in once(typed, "describe", "r")[1]
    finally:
        core.delete_namespaced_config_map("penstock-cli", "kube-public")


class TestGet:
    """Of runs, Flows and Schedules."""

    def test_runs_come_in_the_columns_of_their_definition(self, objects, typed):
        objects.create_run("z")
        tasks = [{"name": "list", "state": "Completed"}, {"name": "load", "state": "Failed"}]
        counts = {"Completed": 1, "Failed": 1, "Crashed": 1}
        what = {"reason": "TaskFailed", "progress": "1/2", "counts": counts, "failedTask": "load"}
        objects.set_status("z", "Failed", *tasks, is_finished=True, **what)
        objects.create_run("a")
        exit_code, lines = once(typed, "get")
        assert exit_code == 0
        headings = "NAME FLOW STATE PROGRESS FAILED FAILED TASK REASON DURATION FINISHED AGE"
        assert " ".join(lines[0].split()) == headings
        rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
        assert rows["z"][:6] == ["orders", "Failed", "1/2", "2", "load", "TaskFailed"]
        assert rows["a"][0] == "orders"

    def test_runs_are_found_by_their_states_and_by_their_flow(self, objects, typed):
        for name, state in (("a", "Failed"), ("b", "Crashed"), ("c", "Completed")):
            objects.create_run(name)
            objects.set_status(name, state, is_finished=True)
        assert once(typed, "retry", "a", "--name", "d")[0] == 0
        names = {f"flowrun.penstock.dev/{name}" for name in "abcd"}
        assert set(once(typed, "get", "runs", "-o", "name", "--flow", "orders")[1]) == names
        assert once(typed, "get", "runs", "-o", "name", "--flow", "other")[1] == []
        exit_code, lines = once(typed, "get", "runs", "-o", "name", "--state", "failed,crashed", "--flow", "orders")
        assert (exit_code, set(lines)) == (0, {"flowrun.penstock.dev/a", "flowrun.penstock.dev/b"})

    @pytest.mark.usefixtures("objects")
    def test_one_object_is_printed_for_programs(self, typed):
        _, lines = once(typed, "get", "flow", "orders", "-o", "json")
        assert json.loads("\n".join(lines))["metadata"]["name"] == "orders"
        _, lines = once(typed, "get", "flow/orders", "-o", "yaml")
        assert yaml.safe_load("\n".join(lines))["kind"] == "Flow"

    @pytest.mark.usefixtures("objects")
    def test_a_misspelt_name_is_answered_with_the_nearest(self, typed):
        exit_code, (line,) = once(typed, "get", "flow", "oders")
        assert exit_code == 1
        assert 'did you mean "orders"' in line

    def test_all_namespaces_are_listed_with_their_names(self, objects, typed, namespace):
        objects.create_run("a")
        exit_code, lines = once(typed, "get", "-A")
        assert exit_code == 0
        assert lines[0].startswith("NAMESPACE")
        assert any(line.split()[:2] == [namespace, "a"] for line in lines)

    @pytest.mark.usefixtures("objects")
    def test_nothing_is_said_to_be_nothing(self, typed, namespace):
        assert once(typed, "get", "schedules") == (0, [f"no schedules in namespace {namespace}"])


def test_the_ticks_of_a_schedule_are_shown(objects, typed):
    spec = {"cron": ["0 12 * * *"], "timeZone": "Asia/Kolkata", "runTemplate": {"spec": {"flow": {"name": "orders"}}}}
    objects.create(
        {"apiVersion": "penstock.dev/v1alpha1", "kind": "Schedule", "metadata": {"name": "noon"}, "spec": spec}
    )
    exit_code, lines = once(typed, "schedule", "preview", "noon", "--after", "2026-10-01", "-t", "1")
    assert exit_code == 0
    assert any(line.startswith("Thu 2026-10-01 12:00  +05:30  2026-10-01 06:30Z") for line in lines)
    exit_code, (line,) = once(typed, "schedule", "preview", "non")
    assert (exit_code, 'did you mean "noon"' in line) == (1, True)


def test_describe_shows_a_run_with_its_events(objects, typed, core, namespace):
    objects.create_run("r")
    objects.set_status("r", "Failed", {"name": "load", "state": "Failed", "attempt": 1, "reason": "OOMKilled"})
    uid = objects.run("r")["metadata"]["uid"]
    about = {"apiVersion": "penstock.dev/v1alpha1", "kind": "FlowRun", "name": "r", "namespace": namespace, "uid": uid}
    event = {
        "metadata": {"name": "r.1"},
        "involvedObject": about,
        "reason": "Failed",
        "message": "no",
        "type": "Warning",
    }
    core.create_namespaced_event(namespace, event)
    exit_code, lines = once(typed, "describe", "r")
    assert exit_code == 0
    assert lines[0].startswith("FlowRun r  ✗ Failed")
    assert any(line.endswith("Warning  Failed: no") for line in lines)
    assert "  OOMKilled (load): Raise `resources.limits.memory` of the task, or reduce its memory use." in lines
    assert any(line.startswith("  penstock logs r --task load -n ") for line in lines)


class TestGraph:
    """Of what is in the cluster."""

    @pytest.mark.usefixtures("objects")
    def test_a_flow_is_drawn(self, typed):
        assert once(typed, "graph", "orders") == (0, ["● load", "● report"])

    def test_a_run_is_drawn_as_its_revision_has_it_with_its_states(self, objects, typed, core, namespace):
        objects.create_run("r")
        tasks = [{"name": "load", "state": "Completed"}, {"name": "report", "state": "Running"}]
        objects.set_status("r", "Running", *tasks, revision="kept")
        core.create_namespaced_config_map(
            namespace, {"metadata": {"name": "kept"}, "data": {"spec.json": json.dumps(SPEC)}}
        )
        assert once(typed, "graph", "run/r") == (0, ["✓ load  Completed", "│", "● report  Running"])

    def test_a_run_whose_revision_was_deleted_is_drawn_with_the_current_flow(self, objects, typed):
        objects.create_run("r")
        objects.set_status("r", "Running", {"name": "load", "state": "Running"}, revision="gone")
        exit_code, (warning, *lines) = once(typed, "graph", "r")
        assert exit_code == 0
        assert warning.startswith("cannot read the revision of the run")
        assert lines == ["● load  Running", "● report"]

    @pytest.mark.usefixtures("objects")
    def test_what_does_not_exist_is_said_so(self, typed):
        exit_code, (line,) = once(typed, "graph", "none")
        assert exit_code == 1
        assert "no Flow or FlowRun none" in line


class TestDoctor:
    """In a cluster of which some things are well."""

    @pytest.mark.usefixtures("objects")
    def test_it_finds_the_version_and_the_definitions(self, typed, namespace):
        _, lines = once(typed, "doctor")
        assert lines[0].startswith("✓ cluster     Kubernetes v1.")
        assert any(line.startswith("✓ CRDs        ") for line in lines)
        assert f"✓ permissions all commands allowed in namespace {namespace}" in lines

    @pytest.mark.usefixtures("objects")
    def test_it_finds_the_leader_and_that_no_webhook_is_installed(self, api, typed, namespace):
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": "replica-1", "renewTime": now, "leaseDurationSeconds": 3600}
        lease: Any = {"metadata": {"name": "penstock-operator"}, "spec": spec}
        kubernetes_client.CoordinationV1Api(api).create_namespaced_lease(namespace, lease)
        _, lines = once(typed, "doctor")
        assert any(line.startswith("✓ leader      ") for line in lines)
        assert any("webhook     not installed or not responding" in line for line in lines)

    def test_a_flow_with_a_workspace_needs_a_default_storage_class(self, api, objects, typed, namespace):
        spec = {**FLOW["spec"], "workspace": {"size": "1Gi"}}
        objects.create({**FLOW, "metadata": {"name": "files"}, "spec": spec})
        _, lines = once(typed, "doctor")
        assert any(
            line.startswith("! storage     no default StorageClass") and f"Flow files in namespace {namespace}" in line
            for line in lines
        )

        name = f"doctor-{namespace}"
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        storage_class: Any = {"metadata": {"name": name, "annotations": default}, "provisioner": "example.com/none"}
        storage = kubernetes_client.StorageV1Api(api)
        storage.create_storage_class(storage_class)
        try:
            _, lines = once(typed, "doctor")
        finally:
            storage.delete_storage_class(name)
        assert f"✓ storage     workspaces use {name}" in lines

    def test_missing_permissions_are_listed(self, core, typed, kubeconfig, namespace, tmp_path):
        core.create_namespaced_service_account(namespace, {"metadata": {"name": "nobody"}})
        token = core.create_namespaced_service_account_token("nobody", namespace, {"spec": {}}).status.token
        content = yaml.safe_load(kubeconfig.read_text())
        for user in content["users"]:
            user["user"] = {"token": token}
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(content))

        async def scenario() -> None:
            command = await typed("doctor", kubeconfig=file)
            assert await command.end() == 0
            subjects = {line.split()[1]: line for line in command.lines if line[0] in "✓?!✗"}
            assert subjects["CRDs"].startswith("? ")
            assert subjects["operator"].startswith("? ")
            assert "get flowruns.penstock.dev (required by get, describe, watch, logs)" in subjects["permissions"]
            listing = await typed("get", kubeconfig=file)
            assert await listing.end() == 1
            assert listing.lines[0].startswith("penstock: not allowed: ")

        asyncio.run(scenario())

    def test_a_cluster_that_does_not_answer_is_one_finding(self, typed, tmp_path):
        file = tmp_path / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }
        file.write_text(yaml.safe_dump(content))

        async def scenario() -> None:
            command = await typed("doctor", kubeconfig=file)
            assert await command.end() == 1
            assert command.lines[0].startswith("✗ cluster     cannot reach the API server at http://127.0.0.1:1: ")

        asyncio.run(scenario())


def test_bash_completes_the_names_of_runs(objects, kubeconfig, namespace):
    objects.create_run("orders-1")
    objects.create_run("other")
    script = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    typed = f"COMP_WORDS=(penstock watch -n {namespace} or); COMP_CWORD=4; _penstock; echo ${{COMPREPLY[@]}}"
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    answer = subprocess.run(
        ["bash", "-c", f"{script}\n{typed}"], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["orders-1"]
