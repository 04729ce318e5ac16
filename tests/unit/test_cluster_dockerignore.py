"""Which files an image build can see."""

from pathlib import Path

import pytest

from tests.cluster.dockerignore import is_ignored, parse_patterns, read_patterns, visible_files


@pytest.mark.parametrize(
    ("text", "path", "want"),
    [
        pytest.param("", "a.py", False, id="nothing is ignored without patterns"),
        pytest.param("# a.py\n\n", "a.py", False, id="a comment is not a pattern"),
        pytest.param("docs", "docs/index.md", True, id="a folder covers what is in it"),
        pytest.param("/docs/", "docs/index.md", True, id="slashes at either end mean nothing"),
        pytest.param("*.md", "docs/index.md", False, id="a star does not cross a slash"),
        pytest.param("**/*.md", "docs/index.md", True, id="two stars cross slashes"),
        pytest.param("**/*.md", "index.md", True, id="two stars also stand for no folder at all"),
        pytest.param("**/__pycache__", "a/b/__pycache__/c.pyc", True, id="a folder is found at any depth"),
        pytest.param("?.py", "a.py", True, id="a question mark is one character"),
        pytest.param("[ab].py", "b.py", True, id="a class is one of its characters"),
        pytest.param("a.py", "aXpy", False, id="a dot is a dot"),
        pytest.param("*\n!sdk", "sdk/a.py", False, id="an exclamation mark brings back"),
        pytest.param("*\n!sdk", "docs/a.md", True, id="and only what it names"),
        pytest.param("*\n!a/b", "a/b/c.py", False, id="also inside a folder that is ignored"),
        pytest.param("*\n!sdk\n**/*.pyc", "sdk/a.pyc", True, id="the last match decides"),
    ],
)
def test_a_path_is_ignored_by_the_rules_of_docker(text, path, want):
    assert is_ignored(path, parse_patterns(text)) is want


def test_files_are_listed_in_order_without_what_is_ignored(tmp_path: Path):
    for name in ("b.py", "a.py", "docs/index.md", "docs/keep.md", "sdk/x.pyc", "sdk/x.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "link").symlink_to("sdk")
    (tmp_path / ".dockerignore").write_text("docs\n!docs/keep.md\n**/*.pyc\n")

    patterns = read_patterns(tmp_path, tmp_path / "Dockerfile")

    names = [file.relative_to(tmp_path).as_posix() for file in visible_files(tmp_path, patterns)]
    assert names == [".dockerignore", "a.py", "b.py", "link", "docs/keep.md", "sdk/x.py"]


def test_a_file_beside_the_dockerfile_wins_over_the_one_of_the_context(tmp_path: Path):
    (tmp_path / ".dockerignore").write_text("a.py")
    (tmp_path / "Dockerfile.dockerignore").write_text("b.py")

    patterns = read_patterns(tmp_path, tmp_path / "Dockerfile")

    assert not is_ignored("a.py", patterns)
    assert is_ignored("b.py", patterns)


def test_what_is_brought_back_inside_an_ignored_folder_is_listed(tmp_path: Path):
    for name in ("a/b/c.py", "a/d.py", "e/b/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = visible_files(tmp_path, parse_patterns("*\n!a/b"))

    assert [file.relative_to(tmp_path).as_posix() for file in found] == ["a/b/c.py"]
