"""`penstock compile`, as it is typed."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from penstock.cli.main import main
from penstock.cli.manifests.lint import lint
from penstock.cli.manifests.manifest import Document, read_documents
from penstock.cli.manifests.yaml_text import yaml_text

FLOW = """
    import random

    from penstock import flow, task

    @task
    def load(day: str) -> int:
        return len(day)

    @flow
    def child(rows: int):
        load(lambda: 1)

    @flow
    def etl(day: str = "mon") -> int:
        print("compiling")
        return load(day)

    @flow
    def choosy(day: str):
        if load(day):
            load(day)

    @flow
    def broken():
        return load(str(1 / 0))

    @flow
    def leaving():
        load("mon")
        raise SystemExit(2)

    @flow
    def lucky():
        load(random.random())

    @flow
    def parent(day: str):
        etl(day)
    """


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"flow_{tmp_path.name.rsplit('-', maxsplit=1)[-1]}"
    for number, text in enumerate((FLOW,)):
        (tmp_path / f"{name}_{number}.py").write_text(textwrap.dedent(text))
    yield tmp_path
    for module in [each for each in sys.modules if each.startswith("flow_")]:
        del sys.modules[module]


@pytest.fixture
def file(folder):
    return next(each.name for each in folder.glob("*.py"))


def test_a_flow_is_written_where_it_was_asked_for(folder, file, capsys):
    code = main(["compile", f"{file}:etl", "-o", "flow.yaml", "--image", "x", "--name", "daily", "-n", "team"])

    text = (folder / "flow.yaml").read_text()
    assert code == 0
    metadata = yaml.safe_load(text)["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("daily", "team")
    assert lint({"flow.yaml": text}) == ([], 1)
    assert capsys.readouterr().err == (
        f"penstock: warning: {file}:16: the flow prints outside of tasks, which has no effect in the cluster:"
        " print in a task instead\n"
    )


def test_flows_that_it_calls_come_before_it(file, capsys):
    code = main(["compile", f"{file}:parent", "--image", "x"])

    flows = list(yaml.safe_load_all(capsys.readouterr().out))
    assert code == 0
    assert [each["metadata"]["name"] for each in flows] == ["etl", "parent"]
    assert flows[1]["spec"]["tasks"][0]["flow"] == {"name": "etl", "params": {"day": "$(params.day)"}}


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (
            ["FILE:choosy"],
            "FILE:21: the result of 'load' is used as a condition (`if`, `while`, `and`, `any()`, sorting), which is",
        ),
        (["FILE:etl"], "task load has no image: use --image IMAGE"),
        (["FILE:load", "--image", "x"], "FILE:load is a task, not a flow"),
        (["FILE:nothing"], "'nothing' not found in"),
        (["nowhere.py:etl"], "nowhere.py: file not found"),
        (["nowhere:etl"], "module 'nowhere' not found"),
        (["etl"], "'etl' is not an entrypoint: must be"),
        (["FILE:lucky"], "the call of 'load' differs between two calls of flow 'lucky'"),
        (
            ["FILE:etl", "--image", "x", "--name", "Bad Name"],
            "invalid name of a Flow: 'Bad Name': use lower-case letters",
        ),
        (["/etc/passwd:x"], "/etc/passwd: not a Python file"),
        (["FILE:broken"], "its function raised ZeroDivisionError: division by zero"),
        (["FILE:leaving"], "its function raised SystemExit: 2"),
        (["leaving_module.py:etl"], "module 'leaving_module' exits when it is imported (exit code 3)"),
        (["FILE:child"], "an argument of 'load', a function, cannot be written to a manifest"),
    ],
)
def test_an_error_is_reported_in_one_line(file, capsys, words, want):
    Path("leaving_module.py").write_text("raise SystemExit(3)\n", encoding="utf-8")

    code = main(["compile", *(word.replace("FILE", file) for word in words)])

    error = capsys.readouterr().err.splitlines()
    assert code == 1
    assert error[-1].startswith("penstock: ")
    assert want.replace("FILE", file) in error[-1]


@pytest.mark.parametrize("text", ["1e3", "0o17", "y", "No", "1_000", "", "~", ".5", "2026-11", "a: b", "ünï", "x\ny"])
def test_text_stays_text_when_kubectl_reads_it(text):
    written = yaml_text({text or "x": [text]})

    (document,) = read_documents(written)

    assert isinstance(document, Document)
    assert document.content == {text or "x": [text]}


def test_what_a_module_prints_is_apart_from_the_manifest(folder, capsys):
    (folder / "loud_flow.py").write_text("print('loud')\n" + textwrap.dedent(FLOW))

    code = main(["compile", "loud_flow.py:etl", "--image", "x"])

    shown = capsys.readouterr()
    assert code == 0
    assert shown.out.startswith("apiVersion:")
    assert "loud" in shown.err


def test_what_python_does_not_print_itself_is_apart_from_the_manifest_too(folder, capfd):
    loud = """
    import os, subprocess, sys
    subprocess.run(['echo', 'one'])
    os.write(1, b'two')
    print('three', file=sys.__stdout__)
    """
    (folder / "louder_flow.py").write_text(textwrap.dedent(loud) + textwrap.dedent(FLOW))

    code = main(["compile", "louder_flow.py:etl", "--image", "x"])

    shown = capfd.readouterr()
    assert code == 0
    assert shown.out.startswith("apiVersion:")
    assert all(word in shown.err for word in ("one", "two", "three"))


@pytest.mark.parametrize(
    ("call", "is_warned"),
    [
        pytest.param("etl()", True, id="a call"),
        pytest.param("for each in [1]:\n    print(etl('x'))", True, id="a call in a loop"),
        pytest.param("def run():\n    etl()\nrun()", True, id="a call in a function that is called"),
        pytest.param("result = etl.with_options(name='etl')()", True, id="a call of a flow without a name"),
        pytest.param("@flow(name='etl')\ndef other():\n    etl()\nother()", True, id="a call of another flow"),
        pytest.param('if __name__ == "__main__":\n    etl()', False, id="a guarded call"),
        pytest.param("def run():\n    etl()", False, id="a call in a function"),
    ],
)
def test_a_flow_that_is_called_when_its_module_is_imported_is_warned_of(folder, capsys, call, is_warned):
    name = f"calling_{folder.name.rsplit('-', maxsplit=1)[-1]}"
    (folder / f"{name}.py").write_text(textwrap.dedent(FLOW) + f"\n{call}\n")

    code = main(["compile", f"{name}.py:etl", "--image", "x"])

    warnings = [each for each in capsys.readouterr().err.splitlines() if "called when its module is imported" in each]
    assert code == 0
    assert len(warnings) == is_warned
    assert not is_warned or re.search(rf"{name}\.py:\d+: flow 'etl'", warnings[0])


def test_a_flow_that_serves_or_deploys_when_its_module_is_imported_is_compiled_with_a_warning(folder):
    calls = ["etl.serve('x')", "serve(etl.to_deployment('x'))", "etl.deploy('x', image='x')"]
    (folder / "serving.py").write_text("\n".join(["from penstock import serve", textwrap.dedent(FLOW), *calls]))
    command = "import sys; from penstock.cli.main import main; sys.exit(main(sys.argv[1:]))"

    done = subprocess.run(
        [sys.executable, "-c", command, "compile", "serving.py:etl", "--image", "x"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    warnings = re.findall(
        r"warning: serving\.py:(\d+): (\w+\(\)) does nothing when its module is imported", done.stderr
    )
    last = len((folder / "serving.py").read_text().splitlines())
    assert warnings == [(str(last - 2), "serve()"), (str(last - 1), "serve()"), (str(last), "deploy()")]
