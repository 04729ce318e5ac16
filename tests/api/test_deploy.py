"""`penstock deploy` and `run_deployment` against a real API server: what is applied, refused, kept and removed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
import yaml
from kubernetes import watch

from penstock import flow as make_flow
from penstock import run_deployment
from penstock.errors import CommandError, OptionError, ParameterError, RefusalError
from tests.api.command_line import once
from tests.api.deploying import INLINE, code_maps, get, kinds, orders
from tests.api.scene import task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]


def test_code_flow_and_schedule_are_created_and_found_unchanged(deploy, scene, core, namespace):
    schedule = ("--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--on-overlap", "Skip", "-p", "count=7")
    code, lines = deploy(*INLINE, *schedule)
    assert (code, kinds(lines)) == (
        0,
        ["configmap created", "flow.penstock.dev created", "schedule.penstock.dev created"],
    )
    code, lines = deploy(*INLINE, *schedule)
    assert (code, kinds(lines)) == (
        0,
        ["configmap unchanged", "flow.penstock.dev unchanged", "schedule.penstock.dev unchanged"],
    )

    flow = get(scene, "flows", "etl")
    assert flow["spec"]["params"][0] == {"name": "count", "type": "integer", "default": 7}
    assert {each["manager"] for each in flow["metadata"]["managedFields"]} == {"penstock"}
    spec = get(scene, "schedules", "etl")["spec"]
    assert (spec["cron"], spec["timeZone"], spec["onOverlap"]) == (["30 2 * * *"], "Europe/Berlin", "Skip")
    assert spec["runTemplate"]["spec"] == {"flow": {"name": "etl"}, "params": {"count": 7}}
    (code_map,) = code_maps(core, namespace)
    assert code_map.immutable
    assert "def etl(" in code_map.data["etl.py"]
    assert [(owner.kind, owner.uid) for owner in code_map.metadata.owner_references] == [
        ("Flow", flow["metadata"]["uid"])
    ]


def test_other_code_is_another_map_and_the_old_one_goes(deploy, core, namespace, file):
    assert deploy(*INLINE)[0] == 0
    (first,) = code_maps(core, namespace)
    file.write_text(file.read_text().replace("2 * x", "3 * x"))
    code, lines = deploy(*INLINE)
    assert (code, kinds(lines)) == (0, ["configmap created", "flow.penstock.dev configured", "configmap deleted"])
    (second,) = code_maps(core, namespace)
    assert first.metadata.name != second.metadata.name
    assert "3 * x" in second.data["etl.py"]


def test_code_goes_with_its_flow(deploy, scene, core, namespace):
    assert deploy(*INLINE)[0] == 0
    (code_map,) = code_maps(core, namespace)
    scene.delete("Flow", "etl")
    scene.until(lambda: "etl" not in scene.now["flows"], "the Flow is gone")
    listing, selector = core.list_namespaced_config_map, f"metadata.name={code_map.metadata.name}"
    version = core.list_namespaced_config_map(namespace, field_selector=selector).metadata.resource_version
    if not code_maps(core, namespace):
        return
    stream = watch.Watch().stream(
        listing, namespace, field_selector=selector, resource_version=version, timeout_seconds=60
    )
    assert "DELETED" in {event["type"] for event in takewhile_not_deleted(stream)}


def takewhile_not_deleted(stream):
    for event in stream:
        yield event
        if event["type"] == "DELETED":
            return


def test_a_dry_run_of_the_server_changes_nothing(deploy, scene, core, namespace):
    code, lines = deploy(*INLINE, "--dry-run", "server", "--cron", "@daily")
    assert code == 0
    assert [line.partition(" ")[2] for line in lines] == ["created (server dry run)"] * 3
    assert code_maps(core, namespace) == []
    assert scene.now["flows"] == {}


def test_what_is_printed_as_yaml_can_be_applied(deploy, scene):
    code, lines = deploy(*INLINE, "--dry-run", "client", "-o", "yaml")
    assert code == 0
    documents = list(yaml.safe_load_all("\n".join(lines)))
    assert [each["kind"] for each in documents] == ["ConfigMap", "Flow"]
    scene.core.create_namespaced_config_map(scene.namespace, documents[0])
    scene.create("Flow", "etl", documents[1]["spec"])


def test_fields_of_another_manager_are_taken_only_with_force(deploy, scene, core, namespace):
    scene.create("Flow", "etl", {"tasks": [task("theirs")]})
    code, lines = deploy(*INLINE)
    assert code == 1
    assert code_maps(core, namespace) == [], "code of a Flow that was refused goes again"
    assert lines[-1].startswith("penstock: Flow etl already exists, managed by ")
    assert "use --force-conflicts to take ownership" in lines[-1]
    code, lines = deploy("--image", "busybox", "--force-conflicts")
    assert (code, lines) == (0, ["flow.penstock.dev/etl configured"])
    taken = get(scene, "flows", "etl")
    assert [each["name"] for each in taken["spec"]["tasks"]] == ["double"], "nothing of theirs is left"
    assert {each["manager"] for each in taken["metadata"]["managedFields"]} == {"penstock"}
    assert deploy("--image", "busybox") == (0, ["flow.penstock.dev/etl unchanged"])
    assert deploy("--image", "busybox", "--limit", "3")[0] == deploy("--image", "busybox")[0] == 0
    assert "concurrency" not in get(scene, "flows", "etl")["spec"], "what is left out goes"


def test_a_field_that_another_writer_changed_is_reset_only_with_force(deploy, scene):
    assert deploy("--image", "busybox")[0] == 0
    scene.patch("Flow", "etl", {"spec": {"description": "edited"}})
    scene.patch("Flow", "etl", {"spec": {"defaults": {"image": "debian"}}})
    code, lines = deploy("--image", "busybox")
    assert code == 1
    assert "Flow etl has fields of another manager: Apply failed with 1 conflict" in lines[-1]
    assert ".spec.defaults.image" in lines[-1]
    assert deploy("--image", "busybox", "--force-conflicts") == (0, ["flow.penstock.dev/etl configured"])
    spec = get(scene, "flows", "etl")["spec"]
    assert (spec["defaults"]["image"], spec["description"]) == ("busybox", "edited"), "what is not ours stays"


def test_a_leftover_schedule_is_reported(deploy, scene):
    assert deploy(*INLINE, "--cron", "@daily")[0] == 0
    code, lines = deploy(*INLINE)
    assert code == 0
    assert "Schedule etl of an earlier deployment still exists" in lines[-1]
    scene.until(lambda: "etl" in scene.now["schedules"], "the Schedule is still there")


def test_without_an_operator_the_wait_ends(deploy):
    code, lines = deploy("--image", "busybox", "--wait", "--timeout", "1s")
    assert code == 1
    assert "no operator has checked Flow etl within 1 s: run penstock doctor" in lines[-1]


def test_a_missing_permission_is_reported(core, typed, file, kubeconfig, namespace, tmp_path):
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "nobody"}})
    token = core.create_namespaced_service_account_token("nobody", namespace, {"spec": {"audiences": []}})
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"] = [{"name": "nobody", "user": {"token": token.status.token}}]
    config["contexts"][0]["context"]["user"] = "nobody"
    limited = tmp_path / "kubeconfig"
    limited.write_text(yaml.safe_dump(config))

    async def scenario():
        command = await typed("deploy", str(file), *INLINE, kubeconfig=limited)
        return await command.end(), command.lines

    code, lines = asyncio.run(scenario())
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("penstock: ")
    assert "not allowed: " in lines[0]


def test_python_deploys_as_the_command_line_does(scene, kubeconfig, capsys):
    name = etl.deploy(
        "nightly",
        image="busybox",
        cron="@daily",
        parameters={"day": "$(tick.date)"},
        limit=2,
        tags=["b", "a"],
        namespace=scene.namespace,
        kubeconfig=str(kubeconfig),
    )
    assert name == "nightly"
    assert "flow.penstock.dev/nightly created\nschedule.penstock.dev/nightly created\n" in capsys.readouterr().out
    flow = get(scene, "flows", "nightly")
    assert flow["spec"]["concurrency"] == {"limit": 2, "onLimit": "Queue"}
    assert flow["metadata"]["annotations"]["penstock.dev/tags"] == "a,b"
    spec = get(scene, "schedules", "nightly")["spec"]["runTemplate"]["spec"]
    assert spec == {"flow": {"name": "nightly"}, "params": {"day": "$(tick.date)"}}


@make_flow(run_as="pod")
def etl(day: str = "today") -> str:
    return day


# Runs from Python


def test_with_no_time_to_wait_it_returns_at_once(scene, where):
    orders(scene, task("load"))
    run = run_deployment("orders", {"day": "x"}, timeout=0, flow_run_name="mine", tags=["b", "a"], **where)
    assert run.name == "mine"
    assert run.state.is_pending()
    found = get(scene, "flowruns", "mine")
    assert found["metadata"]["annotations"] == {"penstock.dev/tags": "a,b"}


def test_after_the_time_it_returns_the_run_as_it_is(scene, where):
    orders(scene, task("load"))
    assert not run_deployment("orders", {"day": "x"}, timeout=0.5, **where).state.is_final()


def test_a_run_can_be_due_later(scene, where):
    orders(scene, task("load"))
    due = datetime(2030, 1, 1, 12, tzinfo=UTC)
    run = run_deployment("orders", {"day": "x"}, timeout=0, scheduled_time=due, **where)
    assert get(scene, "flowruns", run.name)["spec"]["scheduledTime"] == "2030-01-01T12:00:00Z"


def test_the_same_key_is_the_same_run(scene, where):
    orders(scene, task("load"))
    first = run_deployment("orders", {"day": "x"}, timeout=0, idempotency_key="k", **where)
    again = run_deployment("orders", {"day": "x"}, timeout=0, idempotency_key="k", **where)
    other = run_deployment("orders", {"day": "x"}, timeout=0, idempotency_key="l", **where)
    assert first.id == again.id != other.id


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({}, "day", id="one is missing"),
        pytest.param({"day": "x", "cuont": 1}, 'did you mean "count"', id="one is misspelt"),
        pytest.param({"day": 5}, "day", id="one is of another type"),
        pytest.param({"day": "x", "count": object()}, "must be JSON", id="one is not JSON"),
    ],
)
def test_parameters_that_the_flow_does_not_take_make_no_run(scene, where, parameters, message):
    orders(scene, task("load"))
    with pytest.raises(ParameterError, match=message):
        run_deployment("orders", parameters, timeout=0, **where)
    assert scene.now["flowruns"] == {}


def test_an_unknown_flow_is_reported_with_the_nearest(scene, where):
    orders(scene, task("load"))
    with pytest.raises(CommandError, match=r'Flow oders not found.*did you mean "orders"'):
        run_deployment("oders", timeout=0, **where)


def test_an_existing_name_is_reported(scene, where):
    orders(scene, task("load"))
    run_deployment("orders", {"day": "x"}, timeout=0, flow_run_name="mine", **where)
    with pytest.raises(RefusalError, match="already exists"):
        run_deployment("orders", {"day": "x"}, timeout=0, flow_run_name="mine", **where)


def test_options_that_only_prefect_has_are_reported(where):
    with pytest.raises(OptionError, match=r"work_queue_name.*no work pools"):
        run_deployment("orders", work_queue_name="q", **where)  # type: ignore[call-arg]  # that is the point


# Once, without a Flow


def test_a_python_file_is_run_once_with_its_code(typed, scene, core, file, namespace):
    code, lines = once(typed, "run", str(file), *INLINE, "-p", "count=5", "--name", "mine")
    assert (code, lines) == (0, ["flowrun.penstock.dev/mine created"])
    run = get(scene, "flowruns", "mine")
    assert run["spec"]["params"] == {"count": 5}
    assert [each["name"] for each in run["spec"]["flowSpec"]["tasks"]] == ["double"]
    (volume,) = run["spec"]["flowSpec"]["defaults"]["podTemplate"]["spec"]["volumes"]
    code_map = core.read_namespaced_config_map(volume["configMap"]["name"], namespace)
    assert [owner.uid for owner in code_map.metadata.owner_references] == [run["metadata"]["uid"]]
    assert scene.now["flows"] == {}


def test_a_run_whose_code_can_not_be_created_is_deleted(typed, scene, core, file, namespace):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "mine-code"}})
    code, lines = once(typed, "run", str(file), *INLINE, "--name", "mine")
    assert code == 1
    assert "cannot create ConfigMap mine-code: " in lines[-1]
    assert lines[-1].endswith("the run was deleted")
    scene.until(lambda: "mine" not in scene.now["flowruns"], "the run is gone")


def test_a_manifest_is_run_once(typed, scene, tmp_path):
    path = tmp_path / "flow.yaml"
    flow = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "Flow",
        "metadata": {"name": "orders"},
        "spec": {"concurrency": {"limit": 1}, "params": [{"name": "day"}], "tasks": [task("load", command=["true"])]},
    }
    run = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"generateName": "orders-"},
        "spec": {"flow": {"name": "orders"}, "params": {"day": "x"}},
    }
    path.write_text(yaml.safe_dump(flow))
    assert once(typed, "run", str(path), "--inline", "-p", "day=monday", "--name", "one")[0] == 0
    path.write_text(yaml.safe_dump_all([flow, run]))
    assert once(typed, "run", str(path), "--inline", "--name", "two")[0] == 0
    assert get(scene, "flowruns", "one")["spec"]["params"] == {"day": "monday"}
    assert get(scene, "flowruns", "two")["spec"]["params"] == {"day": "x"}
    assert [each["name"] for each in get(scene, "flowruns", "two")["spec"]["flowSpec"]["tasks"]] == ["load"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["orders", "--image", "x"], "--image requires --inline"),
        (["x.yaml", "--inline", "--local"], "use only one of them"),
        (["x.py", "--inline"], "file not found"),
        (["x.yaml", "--inline", "--image", "y"], "--image is valid only for Python flows"),
    ],
)
def test_what_inline_can_not_run_is_reported(typed, crds, words, message):
    code, lines = once(typed, "run", *words)
    assert code == 1
    assert message in lines[-1]
