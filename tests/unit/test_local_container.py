"""What a Pod becomes on this machine: its texts, its variables, and the words that start a container."""

from pathlib import Path

import pytest

from penstock.engine.compiler.task_plan import OUTPUTS_PATH
from penstock.engine.workloads.pod import SCRIPT_PATH
from penstock.local.pods.attempt import outcome_of_container
from penstock.local.pods.container import Container
from penstock.local.pods.container_runtime import Ended
from penstock.local.pods.docker import run_words
from penstock.local.pods.environment import container_environment
from penstock.local.pods.manifest_objects import MissingObjectError, Objects
from penstock.local.pods.process import Output
from penstock.local.pods.variable_expansion import expand
from penstock.local.pods.volumes import Mount

POD = {
    "metadata": {"name": "p", "namespace": "local", "labels": {"a": "b"}, "annotations": {}},
    "spec": {"containers": []},
}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$", "$$"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_a_text_is_expanded_as_the_kubelet_does_it(text, want):
    assert expand(text, {"A": "1"}) == want


def test_variables_see_those_before_them_and_no_others():
    env = [
        {"name": "A", "value": "$(B)"},
        {"name": "B", "value": "b"},
        {"name": "C", "value": "$(B)$(HOME)"},
        {"name": "D"},
        {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
    ]
    assert container_environment(POD, {"env": env}, Objects([])) == {
        "A": "$(B)",
        "B": "b",
        "C": "b$(HOME)",
        "D": "",
        "E": "b",
    }


def test_a_secret_is_decoded_and_its_plain_text_wins():
    content = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    objects = Objects([{**content, "data": {"a": "aGk=", "b": "eA=="}, "stringData": {"b": "plain"}}])
    assert objects.data_of("Secret", "s") == {"a": b"hi", "b": b"plain"}
    with pytest.raises(MissingObjectError, match="Secret s, key a: invalid base64"):
        Objects([{**content, "data": {"a": "?"}}])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "c", "key": "b"}}, "env X: ConfigMap c has no key b"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "env X: resourceFieldRef is not supported on this machine"),
        ({"fieldRef": {"fieldPath": "status.phase"}}, "env X: fieldRef status.phase has no value"),
    ],
)
def test_a_source_that_is_not_there_is_named(source, message):
    objects = Objects([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}])
    with pytest.raises(MissingObjectError) as caught:
        container_environment(POD, {"env": [{"name": "X", "valueFrom": source}]}, objects)
    assert message in str(caught.value)


def container(**fields):
    plain = {
        "name": "run-a-1",
        "image": "python:3.13",
        "command": [SCRIPT_PATH, "-x"],
        "args": ["one", "two"],
        "environment": {"PENSTOCK_OUTPUTS": OUTPUTS_PATH, "TOKEN": "hush"},
        "working_dir": "/work",
        "mounts": [Mount(Path("/tmp/v"), "/data")],
        "outputs": Path("/tmp/o"),
        "script": Path("/tmp/s"),
        "grace_s": 30.0,
        "containers": 1,
        "limits": {"memory": "64Mi", "cpu": "500m"},
        "user": 65532,
    }
    return Container(**{**plain, **fields})


def test_a_container_is_started_as_the_kubelet_would_and_no_value_is_seen_in_its_words():
    words = run_words(container())
    assert " ".join(words) == (
        "run --name run-a-1 --cap-drop ALL --security-opt no-new-privileges --user 65532 "
        f"--volume /tmp/o:{OUTPUTS_PATH} --volume /tmp/s:{SCRIPT_PATH}:ro --volume /tmp/v:/data "
        "--env PENSTOCK_OUTPUTS --env TOKEN --memory 67108864 --memory-swap 67108864 --cpus 0.500 --workdir /work "
        f"--entrypoint {SCRIPT_PATH} python:3.13 -x one two"
    )
    assert "hush" not in " ".join(words)


def test_without_a_command_the_image_says_what_starts():
    words = run_words(container(command=[], script=None, limits={}, user=None, working_dir=None))
    assert words[-3:] == ["python:3.13", "one", "two"]
    assert "--entrypoint" not in words


@pytest.mark.parametrize(
    ("ended", "reason", "message", "code"),
    [
        (Ended(137, is_out_of_memory=True), "OOMKilled", "exit code 137 (SIGKILL): log", 137),
        (Ended(0, is_out_of_memory=True), "OOMKilled", "exit code 0: log", 0),
        (Ended(128, start_problem="no such program"), "StartError", "no such program: log", 128),
        (Ended(2), "ExitCode", "exit code 2: log", 2),
    ],
)
def test_the_end_of_a_container_has_the_reasons_of_the_cluster(ended, reason, message, code):
    outcome = outcome_of_container(ended, "", "log\n", containers=1, now=5.0)
    assert (outcome.reason, outcome.message, outcome.exit_code) == (reason, message, code)


def test_output_is_reported_by_lines_and_characters_are_not_split():
    lines: list[str] = []
    output = Output(lines.append)
    for byte in "größe\r\nzwei\n\nrest".encode():
        output.feed_chunk(bytes([byte]))
    output.feed_chunk(b"", is_last=True)
    assert lines == ["größe", "zwei", "", "rest"]


def test_an_endless_line_is_reported_in_pieces_and_only_its_end_is_kept():
    lines: list[str] = []
    output = Output(lines.append)
    for _ in range(10):
        output.feed_chunk(b"x" * 10_000)
    assert all(len(line) == 16_384 for line in lines)
    assert output.tail == "x" * 2048
