"""What manifests mean, pinned; tests/api asks a real API server about the same ones."""

import pytest

from penstock.cli.manifests.lint import lint
from penstock.cli.manifests.manifest import Document, SyntaxProblem, read_documents
from tests.manifests import SCALARS, with_param

MEANT = {
    "y": True, "off": False, "tRue": "tRue", "~": None, "": None, "0777": 511, "0o777": 511, "0b11": 3, "-0x1f": -31,
    "08": 8, "1_000": 1000, "1e3": 1000, "1.5e-3": 0.0015, "3.0": 3, "1:30": "1:30", "2026-11-22": "2026-11-22",
    "!!str 5": "5", '!!int "5"': 5, "!!binary aGVsbG8=": "hello", "!foo [1, 2]": [1, 2], "! 5": "5",
    "{yes: a}": {"true": "a"}, "{0x1: a}": {"1": "a"}, "1e400": "1e400", "<<": "<<", ".5": 0.5, "'0777'": "0777",
}  # fmt: skip


@pytest.mark.parametrize(("text", "want"), MEANT.items())
def test_a_word_means_what_it_means_to_the_api_server(text, want):
    (document,) = read_documents(with_param(text))
    assert isinstance(document, Document)
    value = document.content["spec"]["params"]["v"]
    assert (value, type(value)) == (want, type(want))


@pytest.mark.parametrize("text", [*SCALARS, "[" * 2000, "{a: " * 2000, "- " * 3000])
def test_nothing_that_can_be_written_breaks_the_reader(text):
    for document in read_documents(with_param(text)):
        assert isinstance(document, Document | SyntaxProblem)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (".inf", ".inf is not a JSON number: put it in quotes if it is text"),
        ("!!int x", '"x" is not of type int, which its tag requires'),
        ("{~: a}", "~ cannot be a key: put it in quotes"),
        ("{a: 1, a: 2}", "duplicate key a: already on line 7"),
        # The API server keeps either of them, at random.
        ('{1: a, "1": b}', "duplicate key 1: already on line 7"),
        ("&x [*x]", "recursive YAML alias: this value contains an alias of itself"),
    ],
)
def test_what_the_api_server_refuses_is_found_on_its_line(value, message):
    findings, _ = lint({"run.yaml": with_param(f"\n      {value}")})
    assert [str(finding) for finding in findings] == [f"run.yaml:8: {message}".replace("line 7", "line 8")]


def test_aliases_of_aliases_are_counted_and_not_followed():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (document,) = read_documents("\n".join(lines))
    assert isinstance(document, Document)
    assert [problem.message for problem in document.problems] == [
        "expands to more than 1000000 values because of aliases"
    ]
