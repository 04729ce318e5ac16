"""The documentation: its manifests, links, commands and tables."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from penstock.api.states import STATES
from penstock.cli.main import main
from penstock.cli.manifests.lint import lint
from penstock.cli.parser import build_parser
from penstock.engine.reasons import Reason
from tests.pages import blocks

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
IDS = [page.name for page in PAGES]


EXAMPLES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.glob("examples/**/*.yaml"))}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_passes_lint(example):
    findings, _ = lint(EXAMPLES)
    assert [finding for finding in findings if finding.file == example] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_flow_of_the_documentation_passes_lint(page):
    objects = [block for block in blocks(page, "yaml") if "apiVersion" in (yaml.safe_load(block) or {})]
    findings, _ = lint({f"{page.name}#{place}": block for place, block in enumerate(objects)})
    assert findings == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_expressions_in_flows_of_the_documentation_are_in_quotes(page):
    for block in blocks(page, "yaml"):
        assert not re.search(r":\s+\$\(|[\[,]\s*\$\(", block), "quote every expression"


@pytest.mark.parametrize("reason", list(Reason))
def test_troubleshooting_has_an_answer_to_every_reason(reason):
    assert f"`{reason}`" in (ROOT / "docs" / "troubleshooting.md").read_text()


def test_concepts_has_every_state():
    text = (ROOT / "docs" / "concepts.md").read_text()
    assert [state for state in STATES if f"| {state} |" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_of_the_documentation_is_valid(page):
    for line in re.findall(r"^    (?:\$ )?penstock ([a-z-].*)$", page.read_text(), re.MULTILINE):
        typed = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
        if "--help" not in typed:
            build_parser().parse_args(typed)


def test_the_page_of_the_command_line_has_every_command():
    (commands,) = (action.choices for action in build_parser()._actions if action.dest == "subcommand")
    assert isinstance(commands, dict)
    text = (ROOT / "docs" / "cli.md").read_text()
    assert [each for each in commands if not each.startswith("_") and f"penstock {each}" not in text] == []


def test_every_test_that_the_security_page_names_exists():
    text = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[a-z_/]+\.py)::([a-z_0-9]+)`", text)
    assert len(named) >= text.count(".py::") > 0
    missing = [f"{path}::{name}" for path, name in named if not re.search(rf"^def {name}\(", _read(path), re.MULTILINE)]
    assert missing == []


def _read(path: str) -> str:
    file = ROOT / path
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize("place", range(3))
def test_a_ported_flow_is_the_result_of_the_diff_on_the_page(place):
    page = ROOT / "docs" / "from-prefect.md"
    file = re.findall(r"^\*\*\[(\w+\.py)\]", page.read_text(), re.MULTILINE)[place]
    ported = (ROOT / "examples" / "ported" / file).read_text()
    for hunk in blocks(page, "diff")[place].split("@@\n"):
        after = "".join(line[1:] for line in hunk.splitlines(keepends=True) if not line.startswith("-"))
        assert after in ported


def test_the_picture_of_the_command_line_page_is_up_to_date(tmp_path, capsys):
    page = ROOT / "docs" / "cli.md"
    file = tmp_path / "orders.yaml"
    file.write_text(blocks(page, "yaml")[0])
    assert main(["graph", "-f", str(file), "-o", "svg"]) == 0
    assert capsys.readouterr().out == (page.parent / "images" / "orders.svg").read_text()


def test_every_path_of_the_architecture_page_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    paths = re.findall(r"`([\w.-]+/[\w./-]*)`", text)
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_architecture_page_is_short_and_has_five_short_walks():
    lines = (ROOT / "docs" / "architecture.md").read_text().splitlines()
    assert len(lines) <= 150
    walks = "\n".join(lines[lines.index("## Five walks") :]).split("\n**")[1:]
    assert len(walks) == 5
    assert all(0 < len(re.findall(r"^\d+\. `", walk, re.MULTILINE)) <= 8 for walk in walks)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_no_page_installs_the_other_project_of_this_name(page):
    assert re.findall(r"""pip install ["']?penstock\b.*""", page.read_text()) == []


def test_the_first_flow_of_the_python_page_can_be_compiled(tmp_path, monkeypatch, capsys):
    (tmp_path / "first_flow.py").write_text(blocks(ROOT / "docs" / "python.md", "python")[0])
    monkeypatch.chdir(tmp_path)

    assert main(["compile", "first_flow.py:orders", "--image", "i"]) == 0

    made = yaml.safe_load(capsys.readouterr().out)
    assert [each["name"] for each in made["spec"]["tasks"]] == ["load", "total"]
