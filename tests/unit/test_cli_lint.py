import textwrap

import pytest

from penstock.cli.main import main
from penstock.cli.manifests.lint import lint

FLOW = textwrap.dedent("""\
    apiVersion: penstock.dev/v1alpha1
    kind: Flow
    metadata: {name: orders}
    spec:
      params:
        - {name: count, type: integer}
      tasks:
        - name: load
          image: x
          command: [x]
          args: ["$(params.count)"]
    """)
RUN = textwrap.dedent("""\
    apiVersion: penstock.dev/v1alpha1
    kind: FlowRun
    metadata: {name: orders}
    spec:
      flow: {name: orders}
      params:
        count: 3
    """)


def findings(*texts):
    return [str(finding) for finding in lint({f"{place}.yaml": text for place, text in enumerate(texts)})[0]]


def test_manifests_that_can_work_have_no_findings():
    assert lint({"flow.yaml": FLOW, "run.yaml": RUN}) == ([], 2)


def test_objects_of_others_are_let_be():
    assert lint({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nspec: {a: 1, a: 2}\n---\n- a list\n"}) == ([], 0)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(FLOW.replace("image:", "imgae:"), "0.yaml:9: spec.tasks[0].imgae: ", id="an unknown field"),
        pytest.param(FLOW.replace("[x]", "5"), "0.yaml:10: spec.tasks[0].command: ", id="a value of the wrong type"),
        pytest.param(FLOW.replace("params.c", "prams.c"), "0.yaml:11: spec.tasks[0].args[0]: ", id="an expression"),
        pytest.param(FLOW.replace("kind: Flow", "kind: Fow"), "0.yaml:2: kind: ", id="an unknown kind"),
        pytest.param(FLOW.replace("v1alpha1", "v2"), "0.yaml:1: apiVersion: ", id="an unknown version"),
        pytest.param(FLOW.replace("{name: orders}", "{}"), "0.yaml:3: metadata.name: ", id="no name"),
        pytest.param(
            FLOW.replace("command:", "image:"), "0.yaml:10: duplicate key image: already on line 9", id="twice"
        ),
        pytest.param(FLOW.replace("[x]", "[x"), "0.yaml:11: not YAML: ", id="no YAML"),
    ],
)
def test_a_fault_is_found_on_its_line(text, want):
    assert any(finding.startswith(want) for finding in findings(text)), findings(text)


def test_a_run_is_checked_against_its_flow_in_whichever_file_that_is():
    assert findings(RUN.replace("3", "three"), FLOW) == [
        '0.yaml:7: spec.params.count: must be a whole number; got the string "three"'
    ]


def test_a_run_whose_flow_is_in_no_file_is_checked_as_far_as_that_goes():
    assert findings(RUN) == []


def test_a_flow_of_another_namespace_is_another_flow():
    assert findings(RUN.replace("3", "three"), FLOW.replace("orders}", "orders, namespace: other}")) == []


def test_a_schedule_is_checked_with_its_expressions():
    schedule = textwrap.dedent("""\
        apiVersion: penstock.dev/v1alpha1
        kind: Schedule
        metadata: {name: nightly}
        spec:
          cron: ["30 2 * * *"]
          runTemplate:
            spec:
              flow: {name: orders}
              params: {day: "$(tick.dat)"}
        """)
    (finding,) = findings(schedule)
    assert finding.startswith("0.yaml:9: spec.runTemplate.spec.params.day: ")


def test_the_exit_code_is_1_if_there_are_findings(tmp_path, capsys):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(FLOW)
    bad.write_text(FLOW.replace("image:", "imgae:"))
    assert main(["lint", str(good)]) == 0
    assert main(["lint", str(good), str(bad)]) == 1
    assert f"{bad}:9: " in capsys.readouterr().out
    assert main(["lint", str(tmp_path / "none.yaml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_the_items_of_a_list_are_checked_on_their_lines():
    text = "apiVersion: v1\nkind: List\nitems:\n" + textwrap.indent(FLOW.replace("image:", "imgae:"), "  ").replace(
        "  apiVersion", "- apiVersion", 1
    )
    (finding,) = [finding for finding in findings(text) if "imgae" in finding]
    assert finding.startswith("0.yaml:12: spec.tasks[0].imgae: ")
    assert lint({"list.yaml": "apiVersion: v1\nkind: List\nitems: []\n"}) == ([], 0)


def test_warnings_of_the_webhook_are_printed_beside_the_result(tmp_path, capsys):
    file = tmp_path / "flow.yaml"
    file.write_text(FLOW)
    assert main(["lint", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        (
            f"{file}:9: warning: spec.tasks[0].image: x may change between attempts: use a digest, or a tag other than "
            "latest"
        ),
        "1 object checked, no problems, 1 warning",
    ]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("apiVersion: v1\nkind: ConfigMap\n", ":1: no Penstock objects found", id="another kind"),
        pytest.param(
            "# flow\n" + FLOW.replace("penstock.dev", "penstok.dev"),
            ":2: no Penstock objects found: the apiVersion of a Flow is penstock.dev/v1alpha1, not penstok.dev/",
            id="a misspelt group",
        ),
        pytest.param("", ":1: no Penstock objects found", id="nothing"),
    ],
)
def test_a_file_without_any_object_of_ours_is_refused(tmp_path, capsys, text, want):
    good, other = tmp_path / "good.yaml", tmp_path / "other.yaml"
    good.write_text(FLOW)
    other.write_text(text)
    assert main(["lint", str(good), str(other)]) == 1
    assert f"{other}{want}" in capsys.readouterr().out


def test_faults_of_single_fields_do_not_hide_the_others():
    text = FLOW.replace("command: [x]", "comand: [x]\n      timeout: 5 minutes\n      dependsOn: [nothing]").replace(
        "params.count", "params.cont"
    )
    assert [finding.split(": ")[1] for finding in findings(text)] == [
        "spec.tasks[0].comand",
        "spec.tasks[0].timeout",
        "spec.tasks[0].dependsOn[0]",
        "spec.tasks[0].args[0]",
    ]


def test_what_follows_from_a_removed_declaration_is_not_reported():
    text = FLOW.replace("- {name: count, type: integer}", "- 5")
    assert all("there is no param" not in finding for finding in findings(text)), findings(text)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        pytest.param(FLOW.replace("{name: orders}", "{}"), "metadata.name", id="an object without a name"),
        pytest.param(FLOW.replace("v1alpha1", "v2"), "apiVersion", id="another version"),
        pytest.param(FLOW.replace("name: load", "timeout: 1h"), "spec.tasks[0].name", id="a task without a name"),
        pytest.param(
            FLOW.replace("- name: load", "- text\n    - name: load"), "spec.tasks[0]", id="a task that is none"
        ),
        pytest.param(FLOW + "      forEach: {itemz: [1]}\n", "spec.tasks[0].forEach.itemz", id="a fan-out"),
        pytest.param(
            FLOW.replace("- {name: c", "- {name: my-count}\n    - {name: c"), "spec.params[0].name", id="a param"
        ),
    ],
)
def test_a_fault_of_the_structure_does_not_hide_those_of_the_content(text, hidden):
    text = (
        text.replace("params.count)", "params.cont)")
        + "    - {name: last, image: 'x:1', command: [x], dependsOn: [no]}\n"
    )
    paths = [finding.split(": ")[1] for finding in findings(text)]
    assert hidden in paths
    assert [path for path in paths if path.endswith((".args[0]", ".dependsOn[0]"))][:2] == [
        f"spec.tasks[{1 if hidden == 'spec.tasks[0]' else 0}].args[0]",
        f"spec.tasks[{2 if hidden == 'spec.tasks[0]' else 1}].dependsOn[0]",
    ]


def test_a_decision_about_a_task_that_is_not_an_approval_is_warned_of_by_the_flow_in_another_file(tmp_path, capsys):
    flow, run = tmp_path / "flow.yaml", tmp_path / "run.yaml"
    flow.write_text(FLOW.replace("image: x", "image: 'x:1'"))
    run.write_text(RUN + "  approvals: [{task: load, decision: Approve}]\n")
    assert main(["lint", str(flow), str(run)]) == 0
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if "warning:" in line]
    assert "spec.approvals[0].task: the flow has no approval load" in warning


SPEC = '{"apiVersion": "penstock.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a"}, "spec": SPEC}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(FLOW.replace("image: x", r'image: "\ud83d"'), id="a text"),
        pytest.param(FLOW.replace("command: [x]", r'command: ["a\ud83d"]'), id="a text in a list"),
        pytest.param(FLOW.replace("name: orders", r'name: "o\ude00"'), id="the name of the object"),
        pytest.param(FLOW.replace("  params:", '  "p\\ud83d": 1\n  params:'), id="a key"),
        pytest.param(FLOW.replace("[x]", "[.inf]"), id="a number that JSON does not have"),
        pytest.param(
            SPEC.replace("SPEC", r'{"tasks": [{"name": "a", "image": "b:1", "command": ["\ud83d"]}]}'), id="JSON"
        ),
        pytest.param(
            SPEC.replace("SPEC", r'{"\ud83d": 1, "tasks": [{"name": "a", "image": "b:1", "command": ["a"]}]}'),
            id="a key in JSON",
        ),
        pytest.param(
            SPEC.replace("SPEC", '{"tasks": [{"name": "a", "image": 1e400, "command": ["a"]}]}'), id="a number in JSON"
        ),
    ],
)
def test_a_value_that_cannot_be_read_is_one_finding(text):
    (finding,) = findings(text)
    assert any(each in finding for each in ("half of a surrogate pair", "out of range", "is not a JSON number"))


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ('at: ["9999-12-31T23:59:59Z"]', "spec.at[0]"),
        ("cron: [3]", "spec.cron[0]"),
        ("interval: 5", "spec.interval"),
        ("events: 3", "spec.events"),
    ],
)
def test_a_schedule_whose_ticks_cannot_be_read_does_not_lack_them(field, path):
    schedule = f"""\
        apiVersion: penstock.dev/v1alpha1
        kind: Schedule
        metadata: {{name: s}}
        spec:
          {field}
          runTemplate: {{spec: {{flow: {{name: orders}}}}}}
        """
    (finding,) = findings(textwrap.dedent(schedule))
    assert finding.startswith(f"0.yaml:5: {path}: ")
