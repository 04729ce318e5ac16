import textwrap

import pytest

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
