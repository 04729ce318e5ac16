"""Admission of FlowDefaults, and what the command line says about them."""

from __future__ import annotations

import asyncio
import datetime as dt
import textwrap
from typing import Any

import pytest

from penstock.cli.local.files import read_files
from penstock.cli.manifests.lint import lint, warn
from penstock.cli.text.flow_defaults_description import describe_flow_defaults
from penstock.cli.text.inherited import inherited_section
from penstock.errors import CommandError
from penstock_operator.webhooks.admission import Admission
from tests.unit.local_machine import Machine
from tests.unit.reviews import anyone_may, look_up, look_up_run, look_up_schedule, review_of

NOW = dt.datetime(2026, 11, 22, 12, 5, tzinfo=dt.UTC)
FILE = textwrap.dedent("""\
    apiVersion: penstock.dev/v1alpha1
    kind: FlowDefaults
    metadata: {name: NAME}
    spec:
      finally:
        - name: last
          image: x
          script: |
            #!/bin/sh
            echo "{\\"said\\": \\"$STATE\\"}" > "$PENSTOCK_OUTPUTS"
          env: [{name: STATE, value: "$(run.state)"}]
    ---
    apiVersion: penstock.dev/v1alpha1
    kind: Flow
    metadata: {name: orders}
    spec:
      tasks: [{name: load, image: x, script: "#!/bin/sh"}]
    """)


def respond(spec: Any, name: str = "default", **request: Any) -> dict[str, Any]:
    review = review_of("FlowDefaults", spec, **request)
    review["request"]["object"]["metadata"]["name"] = name
    admission = Admission(look_up, look_up_schedule, look_up_run, may_get=anyone_may)
    response: dict[str, Any] = asyncio.run(admission.validate_flow_defaults(review))["response"]
    return response


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"retry": {"when": "nonsense("}}, "spec.retry.when", id="an expression"),
        pytest.param({"finally": [{"name": "a", "args": ["x"]}]}, "spec.finally[0].image", id="a missing image"),
        pytest.param({"queueTimout": "1m"}, "spec.queueTimout", id="an unknown field"),
        pytest.param({"timeout": "soon"}, "spec.timeout", id="not a duration"),
    ],
)
def test_invalid_flow_defaults_are_refused_with_the_field(spec, field):
    response = respond(spec)
    assert not response["allowed"]
    assert [cause["field"] for cause in response["status"]["details"]["causes"]] == [field]


def test_valid_ones_pass_and_those_of_another_name_with_a_warning():
    assert respond({"timeout": "1m"}) == {"uid": "705ab4f5", "allowed": True}
    response = respond({"timeout": "1m"}, name="other")
    assert response["allowed"]
    assert response["warnings"] == [
        "metadata.name: only the FlowDefaults named default counts in a namespace: other has no effect"
    ]


def test_lint_knows_them():
    assert lint({"a.yaml": FILE.replace("NAME", "default")}) == ([], 2)
    (finding,) = lint({"a.yaml": FILE.replace("NAME", "default").replace("image: x", "description: some text", 1)})[0]
    assert str(finding).startswith("a.yaml:6: spec.finally[0]")
    (warning,) = [str(one) for one in warn({"a.yaml": FILE.replace("NAME", "other")}) if "FlowDefaults" in str(one)]
    assert warning.startswith("a.yaml:3: warning: metadata.name: only the FlowDefaults named default counts")


@pytest.mark.parametrize(("name", "tasks"), [("default", ["load", "last"]), ("other", ["load"])])
def test_a_local_run_has_the_defaults_of_its_files(name, tasks, tmp_path, capfd):
    (tmp_path / "flow.yaml").write_text(FILE.replace("NAME", name))
    ran = Machine(tmp_path, capfd).type("run", "--local", str(tmp_path / "flow.yaml"), "-o", "json")
    assert (ran.code, ran.status["state"]) == (0, "Completed"), ran.log
    assert [entry["name"] for entry in ran.status["tasks"]] == tasks
    if len(tasks) > 1:
        assert ran.status["tasks"][1]["outputs"] == {"said": "Completed"}


def test_two_of_the_same_name_in_files_are_refused(tmp_path):
    path, text = tmp_path / "flow.yaml", FILE.replace("NAME", "default")
    path.write_text(f"{text}---\n{text.partition('---')[0]}")
    with pytest.raises(CommandError, match="two FlowDefaults named default"):
        read_files([str(path)])


def test_a_flow_is_described_with_what_it_has_from_where():
    spec = {
        "tasks": [{"name": "load"}],
        "finally": [{"name": "page"}],
        "defaults": {"retry": {"limit": 1}},
        "podRetention": {"failed": "1h"},
    }
    inherited = {
        "namespace": {
            "queueTimeout": "5m",
            "retry": {"limit": 9, "delay": "3s"},
            "finally": [{"name": "page", "image": "a"}, {"name": "notify", "image": "curl"}],
        },
        "installation": {
            "queueTimeout": "1h",
            "runTimeout": "24h",
            "podRetention": {"completed": "2h", "failed": "3h"},
        },
    }
    assert [line.plain for line in inherited_section(spec, inherited) if line.plain] == [
        "Inherited",
        "  queueTimeout: 5m            FlowDefaults default",
        "  retry.delay: 3s             FlowDefaults default",
        "  finally.notify: curl        FlowDefaults default",
        "  runTimeout: 24h             the installation",
        "  podRetention.completed: 2h  the installation",
    ]
    assert list(inherited_section(spec, {})) == []


def test_flow_defaults_are_described_with_their_condition():
    found = {
        "kind": "FlowDefaults",
        "metadata": {"name": "default"},
        "spec": {"timeout": "1m", "finally": [{"name": "notify", "image": "curl"}]},
        "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Invalid", "message": "why"}]},
    }
    lines = [line.plain for line in describe_flow_defaults(found, [], NOW)]
    assert lines[0] == "FlowDefaults default  ✗ not Ready, Invalid: why"
    assert "  timeout    1m" in lines
    assert "  notify  curl" in lines
