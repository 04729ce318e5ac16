"""Whole flows as real processes of this machine: the states, the outputs, the messages."""

import json
from pathlib import Path

import pytest

from tests.unit.local_machine import HAS_MOUNTS, Machine, document, flow, is_alive, write_outputs

needs_mounts = pytest.mark.skipif(not HAS_MOUNTS, reason="this machine does not allow mounts")


@pytest.fixture
def machine(tmp_path, capfd, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    yield Machine(tmp_path, capfd)
    assert not list((tmp_path / "tmp").iterdir()), "something is left behind"


def secret(name, **data):
    return document({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})


def config_map(name, **data):
    return document({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def test_outputs_become_args_and_env_of_what_comes_after_and_outputs_of_the_run(machine):
    ran = machine.run(
        flow(
            [
                {"name": "a", "script": write_outputs(n=3, words=["x", "y z"])},
                {
                    "name": "b",
                    "args": ["$(tasks.a.outputs.words)", "$$(literal)", "$(HOME_OF_B)", "$(nothing)"],
                    "env": [{"name": "HOME_OF_B", "value": "n is $(tasks.a.outputs.n), $(PENSTOCK_OUTPUTS)"}],
                    "script": '#!/bin/sh\nfor word in "$@"; do echo "$word"; done; test -e "${3##* }"',
                },
            ],
            outputs={"n": "$(tasks.a.outputs.n)", "all": "$(tasks.a.outputs)"},
        )
    )

    assert (ran.code, ran.status["state"]) == (0, "Completed")
    assert ran.status["outputs"] == {"n": 3, "all": {"n": 3, "words": ["x", "y z"]}}
    lines = [line.removeprefix("b | ") for line in ran.log.splitlines() if line.startswith("b | ")]
    assert lines[:2] == ['["x","y z"]', "$(literal)"]
    assert lines[2].startswith("n is 3, /")
    assert lines[3] == "$(nothing)"


def test_a_param_can_not_become_a_secret(machine):
    ran = machine.run(
        flow(
            [{"name": "a", "args": ["$(params.x)"], "env": [{"name": "X", "value": "hush"}], "script": 'echo "$1"'}],
            params=[{"name": "x"}],
        ),
        "-p",
        "x=$(X) $$(X) $X",
    )
    assert "a | $(X) $$(X) $X" in ran.log.splitlines()


@pytest.mark.parametrize(
    ("script", "reason", "message", "code"),
    [
        pytest.param("echo oh; echo no >&2; exit 3", "ExitCode", "oh\nno", 3, id="the end of the log is the message"),
        pytest.param("echo why > $PENSTOCK_OUTPUTS; echo x; exit 1", "ExitCode", "why", 1, id="the outputs before it"),
        pytest.param("exit 7", "ExitCode", "exit code 7", 7, id="the exit code if there is nothing else"),
        pytest.param("kill -KILL $$", "ExitCode", "exit code 137", 137, id="SIGKILL"),
        pytest.param("kill -TERM $$", "ExitCode", "exit code 143", 143, id="SIGTERM"),
        pytest.param("kill -SEGV $$", "ExitCode", "exit code 139", 139, id="SIGSEGV"),
        pytest.param("#!/no/such/program\n", "StartError", "cannot start ", 128, id="an unknown interpreter"),
        pytest.param(
            "echo '[1]' > $PENSTOCK_OUTPUTS",
            "InvalidOutputs",
            "the outputs are not a JSON object: '[1]\\n'",
            0,
            id="list",
        ),
        pytest.param(
            "echo oops > $PENSTOCK_OUTPUTS", "InvalidOutputs", "the outputs are not valid JSON (", 0, id="no JSON"
        ),
        pytest.param(
            "head -c 5000 /dev/zero | tr '\\0' x > $PENSTOCK_OUTPUTS",
            "InvalidOutputs",
            "the outputs are 4096 bytes or more and may be truncated (limit 4095)",
            0,
            id="too many bytes",
        ),
    ],
)  # fmt: skip
def test_a_failure_says_why(machine, script, reason, message, code):
    ran = machine.run(flow([{"name": "a", "script": script}]))

    task = ran.task("a")
    assert (ran.code, ran.status["state"], task["state"], task["reason"]) == (1, "Failed", "Failed", reason)
    assert message in task["message"]
    assert task["exitCode"] == code


def test_no_more_than_what_the_kubelet_takes_of_a_log_becomes_the_message(machine):
    ran = machine.run(
        flow([{"name": "a", "script": "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; done; exit 1"}])
    )
    first, *tail = ran.task("a")["message"].splitlines()
    assert (first, tail) == ("exit code 1: 300", [str(number) for number in range(221, 301)])


def test_without_a_log_tail_the_message_is_the_exit_code(machine):
    ran = machine.run(flow([{"name": "a", "logTail": False, "script": "echo oh; exit 3"}]))
    assert ran.task("a")["message"] == "exit code 3"


def test_a_program_that_is_not_there_fails_its_task_before_it_starts(machine):
    ran = machine.run(flow([{"name": "a", "command": ["no-such-program"]}]))
    assert (ran.task("a")["reason"], ran.task("a")["exitCode"]) == ("StartError", 128)
    assert 'program "no-such-program" not found' in ran.task("a")["message"]


def test_attempts_are_made_again_each_with_its_number(machine):
    attempt = {"fieldRef": {"fieldPath": "metadata.labels['penstock.dev/attempt']"}}
    ran = machine.run(
        flow(
            [
                {
                    "name": "a",
                    "retry": {"limit": 3, "delay": "50ms"},
                    "env": [{"name": "ATTEMPT", "valueFrom": attempt}],
                    "script": 'echo "try $ATTEMPT"; test $ATTEMPT = 3',
                }
            ]
        )
    )
    task = ran.task("a")
    assert (task["state"], task["attempt"], task["failures"]) == ("Completed", 3, 2)
    assert [attempt["message"] for attempt in task["attempts"]] == ["exit code 1: try 1", "exit code 1: try 2"]
    assert "a#3 | try 3" in ran.log.splitlines()


def test_a_fan_out_runs_its_items_as_many_at_once_as_may_and_gathers_what_they_give(machine):
    ran = machine.run(
        flow(
            [
                {
                    "name": "a",
                    "forEach": {"items": ["x", "y", "z"]},
                    "maxParallel": 2,
                    "allowFailed": 1,
                    "args": ["$(item)"],
                    "script": 'test $1 != y && echo "{\\"is\\": \\"$1\\"}" > $PENSTOCK_OUTPUTS',
                },
                {"name": "b", "dependsOn": ["a"], "when": "tasks.a.state == 'Completed'", "command": ["true"]},
            ]
        )
    )
    items = ran.task("a")["items"]
    assert ran.states == {"a": "Completed", "b": "Completed"}
    assert items["indexes"] == {"Completed": "0,2", "Failed": "1"}
    assert [output and output.get("is") for output in ran.task("a")["outputs"]] == ["x", None, "z"]


def test_conditions_states_and_finally_decide_as_in_the_cluster(machine):
    ran = machine.run(
        flow(
            """
            - {name: a, command: ["false"]}
            - {name: b, dependsOn: [a], command: ["true"]}
            - {name: c, dependsOnStates: [{task: a, states: [Failed]}], command: ["true"]}
            - {name: d, when: "1 == 2", command: ["true"]}
            """,
            **{"finally": [{"name": "z", "args": ["$(run.state)"], "script": "test $1 = Failed"}]},
        )
    )
    assert ran.states == {"a": "Failed", "b": "Skipped", "c": "Completed", "d": "Skipped", "z": "Completed"}
    assert [ran.task(name)["reason"] for name in "bd"] == ["UpstreamFailed", "ConditionFalse"]
    assert ran.code == 1


def test_an_attempt_that_takes_too_long_ends_with_all_that_it_started(machine, tmp_path):
    script = f"sleep 100 & echo $! > {tmp_path}/pid; trap '' TERM; wait"
    template = {"spec": {"terminationGracePeriodSeconds": 1}}
    ran = machine.run(flow([{"name": "a", "timeout": "500ms", "script": script, "podTemplate": template}]))
    assert (ran.task("a")["state"], ran.task("a")["reason"]) == ("TimedOut", "DeadlineExceeded")
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_run_that_takes_too_long_is_timed_out_and_cleans_up(machine):
    ran = machine.run(
        flow(
            [{"name": "a", "command": ["sleep", "100"]}],
            **{"finally": [{"name": "z", "command": ["true"]}]},
        ),
        "--timeout",
        "1s",
    )
    assert (ran.status["state"], ran.states) == ("TimedOut", {"a": "Cancelled", "z": "Completed"})


def test_child_flows_are_those_of_the_files(machine):
    child = flow(
        [{"name": "one", "args": ["$(params.x)"], "script": 'echo "{\\"is\\": \\"$1\\"}" > $PENSTOCK_OUTPUTS'}],
        name="child",
        params=[{"name": "x"}],
        outputs={"is": "$(tasks.one.outputs.is)"},
    )
    parent = flow(
        [{"name": "a", "forEach": {"items": ["p", "q"]}, "flow": {"name": "child", "params": {"x": "$(item)"}}}],
        outputs={"all": "$(tasks.a.outputs)"},
    )
    ran = machine.type("run", "--local", machine.write(parent), machine.write(child, file="child.yaml"), "-o", "json")

    assert ran.status["outputs"] == {"all": [{"is": "p"}, {"is": "q"}]}
    assert "a[1]/one  Completed" in ran.log


def test_data_of_the_files_reaches_tasks_as_variables(machine):
    ran = machine.run(
        flow(
            [
                {
                    "name": "a",
                    "env": [
                        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
                        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k", "optional": True}}},
                    ],
                    "script": 'echo "$PASSWORD $MODE ${NONE-unset} $PREFIX_mode"',
                    "podTemplate": {
                        "spec": {
                            "containers": [
                                {
                                    "name": "main",
                                    "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "PREFIX_"}],
                                }
                            ]
                        }
                    },
                }
            ]
        )
        + secret("db", password="hush")
        + config_map("settings", mode="fast")
    )
    assert "a | hush fast unset fast" in ran.log.splitlines()


def test_data_that_is_not_in_the_files_fails_the_task_and_says_what_to_do(machine):
    source = {"secretKeyRef": {"name": "database-2", "key": "password"}}
    ran = machine.run(
        flow([{"name": "a", "env": [{"name": "P", "valueFrom": source}], "command": ["true"]}])
        + secret("database", password="x")
    )
    assert (ran.code, ran.task("a")["reason"]) == (1, "StartError")
    assert ran.task("a")["message"] == (
        'env P: Secret database-2 not found in the files (did you mean "database"?): '
        "add its manifest to the command, after the Flow's"
    )


@needs_mounts
def test_volumes_and_the_workspace_are_where_the_pod_has_them(machine):
    volumes = [
        {"name": "data", "configMap": {"name": "settings", "items": [{"key": "mode", "path": "deep/mode"}]}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts = [{"name": "data", "mountPath": "/penstock-test/data"}, {"name": "scratch", "mountPath": "/etc/penstock-x"}]
    template = {"spec": {"containers": [{"name": "main", "volumeMounts": mounts}], "volumes": volumes}}
    ran = machine.run(
        flow(
            [
                {
                    "name": "a",
                    "podTemplate": template,
                    "script": "cat /penstock-test/data/deep/mode > /scratch/space/x; touch /etc/penstock-x/y",
                },
                {"name": "b", "dependsOn": ["a"], "command": ["grep", "-x", "fast", "/scratch/space/x"]},
            ],
            workspace={"size": "1Gi", "mountPath": "/scratch/space"},
        )
        + config_map("settings", mode="fast")
    )
    assert ran.states == {"a": "Completed", "b": "Completed"}, ran.log
    assert not Path("/penstock-test").exists()
    assert not Path("/etc/penstock-x").exists()


def test_where_nothing_can_be_mounted_a_variable_says_where_volumes_are(machine, monkeypatch):
    monkeypatch.setattr("penstock.local.pods.container_runtime.can_mount", lambda: False)
    ran = machine.run(
        flow(
            [
                {"name": "a", "script": "echo hi > $PENSTOCK_ROOT/workspace/x"},
                {"name": "b", "dependsOn": ["a"], "script": "grep -x hi $PENSTOCK_ROOT/workspace/x"},
            ],
            workspace={"size": "1Gi"},
        )
    )
    assert ran.states == {"a": "Completed", "b": "Completed"}, ran.log
    assert "volumes cannot be mounted here" in ran.log


def test_what_is_cached_within_a_run_is_made_once(machine):
    ran = machine.run(
        flow(
            [
                {"name": "a", "forEach": {"count": 4}, "cache": {"key": "same"}, "script": write_outputs(n=1)},
            ]
        )
    )
    assert ran.task("a")["items"]["counts"] == {"Completed": 1, "Cached": 3}
    assert ran.task("a")["outputs"] == [{"n": 1}] * 4


def test_approvals_given_beforehand_decide(machine):
    manifest = flow(
        """
        - {name: ask, approval: {message: "Go?"}}
        - {name: then, dependsOn: [ask], command: ["true"]}
        """
    )
    assert machine.run(manifest, "--approve", "ask").states == {"ask": "Completed", "then": "Completed"}
    refused = machine.run(manifest, "--reject", "ask")
    assert (refused.code, refused.task("ask")["reason"], refused.states["then"]) == (1, "Rejected", "Skipped")
    machine.type("run", "--local", machine.write(manifest), "--approve", "aks")


def test_without_a_terminal_an_approval_is_rejected_with_a_hint(machine):
    ran = machine.run(flow([{"name": "ask", "approval": {}}]))
    assert ran.task("ask")["message"].endswith("run again with --approve ask")


def test_what_has_no_effect_is_said_once(machine):
    ran = machine.run(
        flow(
            [
                {"name": "a", "command": ["true"], "resources": {"limits": {"cpu": 1}}},
                {"name": "b", "command": ["true"], "podTemplate": {"spec": {"nodeSelector": {"x": "y"}}}},
                {"name": "c", "command": ["true"], "podTemplate": {"spec": {"nodeSelector": {"x": "y"}}}},
            ]
        )
    )
    assert [line for line in ran.log.splitlines() if line.startswith("note: ")] == [
        "note: images are ignored: tasks are processes with the programs of this machine; use --docker to run images",
        "note: resources: not reserved and not limited (a)",
        "note: podTemplate: spec.nodeSelector has no effect (b, c)",
    ]


def test_a_run_of_the_files_is_taken_as_it_is_and_params_that_are_typed_win(machine):
    run = document(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "FlowRun",
            "metadata": {"name": "mine", "labels": {"team": "data"}},
            "spec": {"flow": {"name": "it"}, "params": {"x": "a", "w": 1}},
        }
    )
    manifest = (
        flow(
            [{"name": "a", "command": ["true"]}],
            params=[
                {"name": "x"},
                {"name": "w", "type": "integer"},
                {"name": "z", "type": "boolean", "default": False},
            ],
        )
        + run
    )
    params = machine.write("z: yes\nw: 0x10\n", file="params.yaml")
    ran = machine.run(manifest, "-p", "x=b", "--params-file", params)

    assert ran.run["metadata"]["name"] == "mine"
    assert ran.run["metadata"]["labels"] == {"team": "data"}
    assert ran.status["params"] == {"x": "b", "w": 16, "z": True}


ONE = [{"name": "a", "command": ["true"]}]


@pytest.mark.parametrize(
    ("manifest", "words", "message"),
    [
        (flow(ONE).replace("command", "comand"), (), "nothing was run, because the files have a problem (see above)"),
        (flow([{"name": "a", "args": ["x"]}]), (), "spec.tasks[0]: task a relies on the command of its image"),
        (flow([{"name": "a", "flow": {"name": "chlid"}}]), (), "spec.tasks[0].flow.name: Flow chlid not found"),
        (flow(ONE, name="x") + flow(ONE, name="y"), (), "the files contain 2 Flows; select one with FILE:NAME"),
        (flow(ONE) + flow(ONE), (), "the files contain two Flows named it: remove one"),
        (config_map("x"), (), "the files contain no Flow or FlowRun to run"),
        (flow(ONE, params=[{"name": "x"}]), (), "spec.params.x: is required"),
        (flow(ONE), ("-p", "x=1"), "-p x=1: the Flow has no param x"),
        (flow(ONE), ("--approve", "a"), "--approve a: not an approval task; the flow has no approval tasks"),
        (flow(ONE), ("--watch",), "--watch is not valid with --local"),
        (flow(ONE), ("--parallel", "0"), "--parallel 0: must be at least 1"),
        ("- a\n- list\n", (), "not a Kubernetes object"),
        ("a: [", (), "because the files have a problem (see above)"),
    ],
)
def test_what_can_not_run_is_refused_before_anything_starts(machine, manifest, words, message):
    ran = machine.run(manifest, *words)
    assert ran.code == 1
    assert message in ran.log.splitlines()[-1]
    assert ran.run is None


def test_of_several_flows_the_one_runs_that_is_named_or_that_no_other_calls(machine):
    manifest = flow([{"name": "a", "flow": {"name": "y"}}], name="x") + flow(ONE, name="y")
    path = machine.write(manifest)
    assert machine.type("run", "--local", path, "-o", "json").run["spec"]["flow"]["name"] == "x"
    assert machine.type("run", "--local", f"{path}:y", "-o", "json").run["spec"]["flow"]["name"] == "y"
    assert "contain no Flow or FlowRun z; they contain x, y" in machine.type("run", "--local", f"{path}:z").log


def test_files_are_not_run_in_the_cluster_by_mistake(machine):
    assert "to run files, add --local (this machine)" in machine.type("run", machine.write(flow(ONE))).log


def test_a_run_can_be_printed_as_yaml(machine, capfd):
    machine.folder.joinpath("f.yaml").write_text(flow(ONE))
    assert machine.type("run", "--local", str(machine.folder / "f.yaml"), "-o", "yaml").code == 0


def test_docker_without_an_engine_is_reported(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = machine.run(flow(ONE), "--docker")
    assert (ran.code, ran.log.strip()) == (
        1,
        "penstock: --docker: neither docker nor podman is on PATH: install one, or omit --docker",
    )


def test_what_a_process_leaves_behind_does_not_keep_its_task_running(machine, tmp_path):
    script = f"(trap '' HUP TERM; sleep 300) & echo $! > {tmp_path}/pid"
    ran = machine.run(flow([{"name": "a", "script": script}]))
    assert ran.states == {"a": "Completed"}
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_the_status_is_what_the_cluster_would_have(machine):
    status = machine.run(flow(ONE)).status
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("Succeeded", "True", "Completed"),
        ("Finished", "True", "Completed"),
    ]
    assert {"progress", "counts", "startTime", "completionTime", "engine", "params"} <= status.keys()
    assert json.dumps(status["counts"]) == '{"Completed": 1}'


def test_an_argument_with_a_zero_byte_fails_its_task_only(machine):
    ran = machine.run(
        flow(
            [
                {"name": "a", "script": """printf '{"x": "a\\\\u0000b"}' > $PENSTOCK_OUTPUTS"""},
                {"name": "b", "args": ["$(tasks.a.outputs.x)"], "script": "true"},
                {"name": "c", "env": [{"name": "X", "value": "$(tasks.a.outputs.x)"}], "script": "true"},
                {"name": "d", "dependsOn": ["a"], "script": "true"},
            ],
            failurePolicy="Continue",
            **{"finally": [{"name": "e", "script": "true"}]},
        )
    )

    states = {each["name"]: each["state"] for each in ran.status["tasks"]}
    assert states == {"a": "Completed", "b": "Failed", "c": "Failed", "d": "Completed", "e": "Completed"}
    assert "Traceback" not in ran.log
