"""Outputs from a file of the task's own choice: which paths are allowed, and what becomes of the file's content."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ContainerInputs, attempt_inputs
from penstock.engine.workloads.outputs import read_outputs
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.errors import InvalidSpecError
from tests.unit.local_machine import HAS_MOUNTS, Machine, flow


@pytest.fixture
def machine(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path, capfd)


def plan(**task: Any) -> TaskPlan:
    return compile_plan(FlowSpec.model_validate({"tasks": [{"name": "scan", "image": "scanner:2", **task}]})).tasks[0]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        pytest.param("out.txt", "must be an absolute path of a file", id="a relative path"),
        pytest.param("/tmp/", "must be an absolute path of a file", id="a directory"),
        pytest.param("/", "must be an absolute path of a file", id="the root"),
        pytest.param("/tmp/../etc/x", "without . and ..", id="a path with .."),
        pytest.param("/tmp//x", "must be an absolute path of a file", id="a path with an empty name"),
        pytest.param("/tmp/a:b", "without a colon", id="a path with a colon"),
        pytest.param("/tmp/$(params.day)", "expressions are not evaluated here", id="an expression"),
        pytest.param("/dev/stdout", "outputs are not read from the log", id="stdout"),
        pytest.param("/proc/self/fd/1", "must not be in /proc", id="the same by another name"),
        pytest.param("/dev/shm/x", "must not be in /dev", id="a device"),
        pytest.param("/penstock/script", "must not be in /penstock", id="the directory of the script"),
    ],
)
def test_a_path_that_no_program_can_write_outputs_to_is_refused(file, message):
    with pytest.raises(InvalidSpecError) as caught:
        plan(outputs={"file": file})
    (problem,) = caught.value.problems
    assert problem.path == "spec.tasks[0].outputs.file"
    assert message in problem.message


@pytest.mark.parametrize("kind", [{"flow": {"name": "child"}}, {"approval": {}}], ids=["a child flow", "an approval"])
def test_only_a_container_has_a_file(kind):
    with pytest.raises(InvalidSpecError) as caught:
        plan(image=None, outputs={"file": "/tmp/x"}, **kind)
    assert [problem.path for problem in caught.value.problems] == ["spec.tasks[0].outputs"]


@pytest.mark.parametrize(
    ("outputs", "path", "annotations"),
    [
        pytest.param(None, "/dev/termination-log", {}, id="none"),
        pytest.param({"file": "/tmp/x"}, "/tmp/x", {"penstock.dev/outputs-format": "Text"}, id="a text"),
        pytest.param({"file": "/tmp/x", "format": "JSON"}, "/tmp/x", {}, id="an object"),
        pytest.param(
            {"file": "/dev/termination-log"}, "/dev/termination-log", {"penstock.dev/outputs-format": "Text"}, id="ours"
        ),
    ],
)
def test_the_file_becomes_the_termination_message(outputs, path, annotations):
    compiled = plan(outputs=outputs)
    inputs = attempt_inputs(compiled, {"params": {}, "run": {}, "tasks": {}})
    assert isinstance(inputs, ContainerInputs)
    pod = build_pod(
        CreateAttempt(TaskInstanceKey("scan"), 1, 0, 0, inputs),
        compiled,
        RunIdentity("default", "run", "uid-1"),
        flow=None,
        revision=None,
        settings=PodSettings(user=65532, is_tracked=True),
    )
    (main,) = pod["spec"]["containers"]
    assert main["terminationMessagePath"] == path
    assert {"name": "PENSTOCK_OUTPUTS", "value": path} in main["env"]
    assert pod["metadata"]["annotations"] == annotations


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        pytest.param("1.2.3\n", {"text": "1.2.3"}, id="without the line break at its end"),
        pytest.param(" a\n\nb \r\n\n", {"text": " a\n\nb "}, id="with everything else"),
        pytest.param('{"a": 1}', {"text": '{"a": 1}'}, id="even if it is an object"),
        pytest.param("", {"text": ""}, id="also if nothing was written"),
    ],
)
def test_a_text_is_taken_as_it_is(text, outputs):
    assert read_outputs(text, containers=1, is_text=True) == (outputs, None)


def test_a_text_that_may_be_truncated_is_refused():
    outputs, problem = read_outputs("x" * 4096, containers=1, is_text=True)
    assert outputs is None
    assert problem is not None
    assert "limit 4095" in problem


@pytest.mark.skipif(not HAS_MOUNTS, reason="nothing can be mounted on this machine")
def test_a_local_run_reads_the_same_file(machine, tmp_path):
    # In a directory of the test's own: a path that does not exist is made for the process alone.
    version, report = f"{tmp_path}/version", f"{tmp_path}/report.json"
    tasks = [
        {"name": "text", "script": f"echo 1.2.3 > {version}", "outputs": {"file": version}},
        {
            "name": "object",
            "script": f"echo '{{\"critical\": 2}}' > {report}",
            "outputs": {"file": report, "format": "JSON"},
        },
        {"name": "wrong", "script": f"echo two > {report}", "outputs": {"file": report, "format": "JSON"}},
    ]
    spec = flow(
        tasks, failurePolicy="Continue", outputs={"all": "$(tasks.text.outputs.text)/$(tasks.object.outputs.critical)"}
    )

    ran = machine.run(spec)

    assert ran.status["outputs"] == {"all": "1.2.3/2"}
    assert ran.task("wrong")["reason"] == "InvalidOutputs"
    assert not (tmp_path / "version").exists()
