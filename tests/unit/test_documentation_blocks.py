"""The Python and YAML blocks of the documentation work as they stand, unless they say that they are fragments.

The line before a fragment is `<!-- fragment -->`, or `<!-- fragment: why -->`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from penstock.cli.manifests.lint import lint
from tests.pages import complete_blocks

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page for each in ("*.md", "docs/**/*.md", "helm/**/*.md", "examples/**/*.md") for page in ROOT.glob(each)
)


def found(language):
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, block in enumerate(complete_blocks(page, language))
    ]


@pytest.mark.parametrize("block", found("python"))
def test_a_python_example_of_the_readme_and_the_pages_runs_as_it_stands(block, tmp_path):
    (tmp_path / "my_flow.py").write_text(block)
    done = subprocess.run(
        [sys.executable, "my_flow.py"],
        cwd=tmp_path,
        env={**os.environ, "PENSTOCK_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("block", found("yaml"))
def test_a_yaml_block_is_an_object_that_passes_lint(block, request):
    documents = list(yaml.safe_load_all(block))
    assert all(isinstance(each, dict) and {"apiVersion", "kind"} <= each.keys() for each in documents)
    findings, _ = lint({f"{request.node.callspec.id}.yaml": block})
    assert findings == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_comment_that_marks_a_fragment_stands_right_before_a_block(page):
    assert not re.search(r"^<!-- *fragment(?!(: [^\n]+)? -->\n```(python|yaml)\n)", page.read_text(), re.MULTILINE)
