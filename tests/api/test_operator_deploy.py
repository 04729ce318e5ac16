"""Deployed Python flows, `run_deployment`, and an operator at work."""

from __future__ import annotations

import textwrap

import pytest

from penstock import flow as make_flow
from penstock import run_deployment
from tests.api.command_line import once
from tests.api.deploying import INLINE, code_maps, kinds, orders
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api


@pytest.fixture
def stage(scene: Scene, operator) -> Scene:
    """The test's namespace, with the operator at work."""
    return scene


ENDLESS = '@task(pod_template={"metadata": {"annotations": {"fake.penstock.dev/outcome": "run"}}})'


def test_code_of_a_running_run_is_kept(deploy, stage, core, namespace, file):
    file.write_text(file.read_text().replace("@task", ENDLESS))
    assert deploy(*INLINE, "--wait")[1][-1] == "flow.penstock.dev/etl is ready"
    (first,) = code_maps(core, namespace)
    stage.start_of("etl", "going")
    stage.reach("Running", "going")
    file.write_text(file.read_text().replace("2 * x", "3 * x"))
    code, lines = deploy(*INLINE, "--wait")
    assert code == 0
    assert kinds(lines[:2]) == ["configmap created", "flow.penstock.dev configured"]
    names = {each.metadata.name for each in code_maps(core, namespace)}
    assert first.metadata.name in names, "a revision names it"
    assert len(names) == 2


def test_an_invalid_flow_is_reported_after_the_wait(typed, stage, tmp_path):
    path = tmp_path / "pod.py"
    path.write_text(
        textwrap.dedent(
            """
            from penstock import flow, task

            @task(pod_template={"spec": {"nodeSelector": {"a b": "c"}}})
            def work() -> None: ...

            @flow
            def broken() -> None:
                work()
            """
        )
    )
    code, lines = once(typed, "deploy", str(path), "--image", "busybox", "--wait")
    assert code == 1
    assert lines[-1].startswith("penstock: ")
    assert "nodeSelector" in lines[-1]


def test_a_run_is_waited_for_and_gives_its_outputs(stage, where):
    load = task("load", pod_outputs='{"rows": 5}')
    orders(stage, load, outputs={"result": "$(tasks.load.outputs.rows)", "day": "$(params.day)"})
    run = run_deployment("etl/orders", parameters={"day": "monday"}, **where)
    assert run.state.is_completed()
    assert run.state.result() == 5
    assert run.outputs == {"result": 5, "day": "monday"}
    assert (run.flow_name, run.parameters) == ("orders", {"day": "monday"})
    assert run.name.startswith("orders-")


def test_a_run_that_fails_is_returned_and_its_result_raises(stage, where):
    orders(stage, task("load", pod_exit_code="3"))
    run = run_deployment("orders", {"day": "monday"}, **where)
    assert run.state.is_failed()
    with pytest.raises(Exception, match="load"):
        run.state.result()


def test_a_run_of_a_flow_that_is_broken_off_is_cancelled(stage, where):
    orders(stage, task("load", pod_outcome="run"))

    @make_flow(timeout_seconds=2)
    def parent() -> None:
        run_deployment("orders", {"day": "x"}, flow_run_name="child", **where)

    assert parent(return_state=True).name == "TimedOut"
    assert stage.finish("child")["state"] == "Cancelled"
