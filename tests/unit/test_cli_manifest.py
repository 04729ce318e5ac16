import json
import re
import textwrap

import pytest
import yaml

from penstock.cli.manifests.manifest import Document, SyntaxProblem, read_documents

MANIFEST = textwrap.dedent("""\
    # a comment
    kind: Flow
    spec:
      tasks:
        - name: a
          podTemplate:
            metadata:
              labels:
                example.com/team: data
        - name: b
          dependsOn: [a, c]
          env:
            - name: X
              value: y
    ---
    kind: FlowRun
    spec: {params: {day: 2026-11-22, on: true}}
    """)


@pytest.fixture
def documents():
    return list(read_documents(MANIFEST))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 2),
        ("kind", 2),
        ("spec.tasks", 4),
        ("spec.tasks[0]", 5),
        ("spec.tasks[1].name", 10),
        ("spec.tasks[1].dependsOn[1]", 11),
        ("spec.tasks[1].env[0].value", 14),
        pytest.param("spec.tasks[0].podTemplate.metadata.labels.example.com/team", 9, id="keys with dots of their own"),
        pytest.param("spec.tasks[1].image", 10, id="a field that is missing is where it would be"),
        pytest.param("spec.tasks[7].name", 4, id="an item that is missing is where its list is"),
        pytest.param("status.state", 2, id="a part that is missing is the whole document"),
    ],
)
def test_a_field_path_is_found_on_its_line(documents, path, line):
    assert documents[0].line(path) == line


def test_lines_are_those_of_the_file_in_later_documents_too(documents):
    assert documents[1].line("spec.params.day") == 17


def test_a_date_without_quotes_is_a_string_as_it_is_for_the_api_server(documents):
    assert documents[1].content["spec"]["params"]["day"] == "2026-11-22"


def test_empty_documents_are_left_out():
    (document,) = read_documents("---\n---\nkind: Flow\n---\n")
    assert isinstance(document, Document)
    assert document.content == {"kind": "Flow"}


def test_a_duplicate_key_is_reported_with_both_lines():
    (document,) = read_documents("kind: Flow\nspec:\n  timeout: 1m\n  tasks: []\n  timeout: 2m\n")
    assert isinstance(document, Document)
    assert document.problems == (SyntaxProblem(5, "duplicate key timeout: already on line 3"),)


def test_a_syntax_error_is_reported_after_the_documents_before_it():
    first, second = read_documents("kind: Flow\n---\nspec: [1, 2\nkind: x\n")
    assert isinstance(first, Document)
    assert first.content == {"kind": "Flow"}
    assert isinstance(second, SyntaxProblem)
    assert second.line == 4


def read(text):
    return list(read_documents(text))


def test_json_is_read_as_json():
    text = json.dumps({"kind": "Flow", "a": "\U0001f600 \u2028", "k" * 2000: [1, 1.5, 10**30, -0.5, True, None, "x"]})
    text = text.replace(" \\u2028", " \\/b")
    (document,) = read(text)
    assert document.content == {
        "kind": "Flow", "a": "\U0001f600 /b", "k" * 2000: [1, 1.5, 1e30, -0.5, True, None, "x"],
    }  # fmt: skip
    assert document.problems == ()


def test_fields_of_json_have_lines():
    (document,) = read(json.dumps({"spec": {"tasks": [{"name": "a"}, {"name": "b"}]}}, indent=2))
    assert document.line("spec.tasks[1].name") == 8


def test_several_objects_of_json_are_several_documents():
    assert [each.content for each in read('{"a": 1}\n{"b": 2}\n')] == [{"a": 1}, {"b": 2}]
    separated = '{"a": "\\/b"}\n---\n{"b": 2}\r\n--- \r\n[3]\n---\n'
    assert [each.content for each in read(separated)] == [{"a": "/b"}, {"b": 2}, [3]]
    assert [each.line("b") for each in read(separated)] == [1, 3, 5]
    items = {"kind": "List", "apiVersion": "v1", "items": [{"a": 1}, {"b": 2}]}
    assert [each.content for each in read(json.dumps(items))] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("text", ["{a: b}", "{a: 'b', c: [d]}", "[a, b]", '{"a": 1,}', '{"a": 1} # a comment'])
def test_yaml_that_begins_like_json_is_yaml(text):
    (document,) = read(text)
    assert document.content == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param('{\n"a": "\\ud83d"}', 2, "half of a surrogate pair, \\\\ud83d", id="half of an emoji in JSON"),
        pytest.param('{\n"\\ude00": 1}', 2, "half of a surrogate pair", id="half of an emoji as a key"),
        pytest.param('a: 1\nb: "\\ud83d\\ude00"', 2, "half of a surrogate pair", id="two halves in YAML"),
        pytest.param('{"a": 1,\n"a": 2}', 2, "duplicate key a: already on line 1", id="a key twice"),
        pytest.param('{\n"a": 1e400}', 2, "1e400 is out of range", id="a number out of range"),
    ],
)
def test_what_the_api_server_would_not_take_is_reported_with_its_line(text, line, message):
    (document,) = read(text)
    (problem,) = document.problems
    assert problem.line == line
    assert re.search(message, problem.message)
