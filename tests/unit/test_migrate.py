"""`python -m penstock.migrate`: what it rewrites, what it leaves alone, and what it lists."""

import ast
import subprocess
import sys
import textwrap

import pytest

from penstock.migrate.__main__ import DONE, MISSING, UNREADABLE, main
from penstock.migrate.findings import find
from penstock.migrate.rewriting import rewrite


def rewritten(source):
    return rewrite(source, ast.parse(source))


def findings(source):
    source = textwrap.dedent(source)
    return [(each.line, each.is_missing, each.what) for each in find(ast.parse(source))]


@pytest.mark.parametrize(
    ("before", "want"),
    [
        ("import prefect\n", "import penstock\n"),
        ("import prefect, os\n", "import penstock, os\n"),
        ("import os, prefect.states as st  # why\n", "import os, penstock.states as st  # why\n"),
        ("import prefect as pf\npf.flow\n", "import penstock as pf\npf.flow\n"),
        ("from prefect import flow, task as step\n", "from penstock import flow, task as step\n"),
        ("from   prefect.futures  import (\n    wait,\n)\n", "from   penstock.futures  import (\n    wait,\n)\n"),
        ("from \\\n  prefect import flow\n", "from \\\n  penstock import flow\n"),
        ("if x:\n\tfrom prefect import flow\n", "if x:\n\tfrom penstock import flow\n"),
        ("import prefect\n@prefect.flow\ndef f(): ...\n", "import penstock\n@penstock.flow\ndef f(): ...\n"),
        ("import prefect\n'é'; prefect.tags('é'); prefect\n", "import penstock\n'é'; penstock.tags('é'); penstock\n"),
        ("import prefect.states\nprefect.states.Failed()\n", "import penstock.states\npenstock.states.Failed()\n"),
        (
            "from prefect import flow; from prefect import task\n",
            "from penstock import flow; from penstock import task\n",
        ),
        ("from prefect import flow\r\nx = 1\r\n", "from penstock import flow\r\nx = 1\r\n"),
        ("x = '\f'\nfrom prefect import flow\n", "x = '\f'\nfrom penstock import flow\n"),
        (
            "import prefect\ndef f(prefect): return prefect.x\n",
            "import penstock as prefect\ndef f(prefect): return prefect.x\n",
        ),
    ],
)
def test_the_words_that_name_the_package_change_and_nothing_else(before, want):
    assert rewritten(before) == want


@pytest.mark.parametrize(
    "source",
    [
        "from . import prefect\n",
        "from .prefect import flow\n",
        "import prefect_aws\n",
        "import prefecture\nfrom prefecture.x import y\n",
        "# import prefect\nx = 'import prefect'\n",
        "prefect = 1\nprint(prefect)\n",
    ],
)
def test_what_is_not_the_package_stays(source):
    assert rewritten(source) == source


def test_a_name_without_a_counterpart_is_listed_with_its_line_and_what_to_use():
    source = "from prefect import (\n    flow,\n    get_client,\n)\n"
    [found] = find(ast.parse(source))
    assert (found.line, found.is_missing, found.what) == (3, True, "prefect.get_client")
    assert "kubectl get flowruns" in found.advice


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("from prefect.events import emit_event\n", [(1, True, "prefect.events")]),
        ("import prefect.blocks.notifications\n", [(1, True, "prefect.blocks.notifications")]),
        ("import prefect\nprefect.get_client()\n", [(2, True, "prefect.get_client")]),
        ("import prefect\nprefect.states.StateGroup\n", [(2, True, "prefect.states.StateGroup")]),
        ("import prefect\nprefect.runtime.flow_run.name\nprefect.states.Failed()\n", []),
        ("from prefect_aws import S3Bucket\n", [(1, True, "prefect_aws")]),
        ("from prefect import flow\nflow.from_source('x')\n", [(2, True, "flow.from_source")]),
        ("from prefect import task\n@task(asset_deps=[])\ndef t(): ...\n", [(2, True, "@task(asset_deps=...)")]),
        ("from prefect import task as step\n@step\ndef t(): ...\nt.delay()\n", [(4, True, "t.delay")]),
        (
            "from prefect import task\n@task\ndef t(): ...\nt.map([1], deferred=True)\n",
            [(4, True, "map(deferred=...)")],
        ),
        (
            "import prefect\n@prefect.flow\ndef f(): ...\nf.deploy(name='x', work_pool_name='p')\n",
            [(4, False, "f.deploy"), (4, True, "deploy(work_pool_name=...)")],
        ),
        ("from prefect.concurrency.sync import concurrency\n", [(1, False, "prefect.concurrency.sync.concurrency")]),
        ("from prefect import task\n@task(tags=['a'])\ndef t(): ...\n", [(2, False, "@task(tags=...)")]),
        (
            "from prefect import flow\n@flow\ndef f(): ...\nf.with_options(persist_result=True)\n",
            [(4, False, "@flow(persist_result=...)")],
        ),
        ("patch('prefect.flow_runs.pause_flow_run')\n", [(1, False, "'prefect.flow_runs.pause_flow_run'")]),
        ("from prefect import flow, task\nfrom prefect.futures import PrefectFuture, wait\n", []),
    ],
)
def test_uses_are_listed_by_line(source, want):
    assert findings(source) == want


def test_files_are_rewritten_in_place_with_their_encoding_and_mode(tmp_path, capsys):
    program = tmp_path / "etl.py"
    program.write_bytes("# coding: latin-1\nfrom prefect import flow\nx = 'é'\n".encode("latin-1"))
    program.chmod(0o755)
    assert main([str(program)]) == DONE
    assert program.read_bytes() == "# coding: latin-1\nfrom penstock import flow\nx = 'é'\n".encode("latin-1")
    assert program.stat().st_mode & 0o777 == 0o755
    assert capsys.readouterr().out == "1 file, 1 rewritten, 0 without a counterpart, 0 different\n"


def test_a_folder_stands_for_its_programs(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    for name in ("a/x.py", "b.py", "c.txt"):
        (tmp_path / name).write_text("import prefect\n")
    assert main([str(tmp_path)]) == DONE
    assert "2 files, 2 rewritten" in capsys.readouterr().out
    assert (tmp_path / "c.txt").read_text() == "import prefect\n"


@pytest.mark.parametrize("folder", [".venv/lib", "venv/lib/python3.12/site-packages/prefect", ".git"])
def test_programs_of_others_in_a_folder_stay(folder, tmp_path, capsys):
    program = tmp_path / folder / "flows.py"
    program.parent.mkdir(parents=True)
    program.write_text("import prefect\n")
    assert main([str(tmp_path)]) == DONE
    assert program.read_text() == "import prefect\n"
    assert "0 files, 0 rewritten" in capsys.readouterr().out


def test_check_writes_nothing_and_says_by_its_exit_code_whether_it_would(tmp_path, capsys):
    program = tmp_path / "etl.py"
    program.write_text("import prefect\n")
    assert main(["--check", str(program)]) == MISSING
    assert program.read_text() == "import prefect\n"
    assert "1 would be rewritten" in capsys.readouterr().out
    program.write_text("import penstock\n")
    assert main(["--check", str(program)]) == DONE


def test_diff_prints_what_would_change(tmp_path, capsys):
    program = tmp_path / "etl.py"
    program.write_text("import prefect\nx = 1\n")
    assert main(["--diff", str(program)]) == DONE
    assert "-import prefect\n+import penstock\n x = 1\n" in capsys.readouterr().out
    assert program.read_text() == "import prefect\nx = 1\n"


def test_something_without_a_counterpart_is_an_exit_code_of_its_own(tmp_path, capsys):
    program = tmp_path / "etl.py"
    program.write_text("from prefect import get_client\n")
    assert main([str(program)]) == MISSING
    assert f"{program}:1: no counterpart: prefect.get_client: there is no server" in capsys.readouterr().out
    assert program.read_text() == "from penstock import get_client\n"


@pytest.mark.parametrize("content", [b"def (", b"\xff\xfe", b"x = '\x00'"])
def test_a_file_that_is_not_a_program_is_named_and_does_not_end_the_others(content, tmp_path, capsys):
    (tmp_path / "a.py").write_bytes(content)
    (tmp_path / "b.py").write_text("import prefect\n")
    assert main([str(tmp_path)]) == UNREADABLE
    assert "a.py: " in capsys.readouterr().err
    assert (tmp_path / "b.py").read_text() == "import penstock\n"


def test_a_missing_file_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "no.py")]) == UNREADABLE
    assert "no.py" in capsys.readouterr().err


def test_it_is_a_program(tmp_path):
    program = tmp_path / "etl.py"
    program.write_text("from prefect import flow\n")
    answer = subprocess.run(
        [sys.executable, "-m", "penstock.migrate", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "1 file, 1 rewritten, 0 without a counterpart, 0 different\n"


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("import os\nos.environ['PREFECT_LOGGING_LEVEL'] = 'DEBUG'\n", [(2, False, "PREFECT_LOGGING_LEVEL")]),
        ("url = 'PREFECT_API_URL'\n", [(1, True, "PREFECT_API_URL")]),
        ("p = __import__('prefect')\n", [(1, False, "__import__('prefect')")]),
        ("import importlib\nimportlib.import_module('prefect')\n", [(2, False, "import_module('prefect')")]),
        ("name = 'prefect'\n", []),
    ],
)
def test_settings_and_imports_by_text_are_listed(source, want):
    assert findings(source) == want


@pytest.mark.parametrize(
    ("body", "is_listed"),
    [
        ("return t.submit(1)", True),
        ("return t(1, return_state=True)", True),
        ("f = t.submit(1)\n    return f", True),
        ("f = t.submit(1)\n    return {'a': [f], 'n': 1}", True),
        ("return [t.submit(1)]", False),
        ("return t.submit(1).result()", False),
        ("return t(1)", False),
    ],
)
def test_a_flow_that_returns_a_future_is_listed_because_its_caller_gets_the_result(body, is_listed):
    source = f"from prefect import flow, task\n@task\ndef t(x): ...\n@flow\ndef f():\n    {body}\n"
    assert [each[2] for each in findings(source)] == ["what f returns"] * is_listed


def test_an_integration_that_runs_tasks_elsewhere_names_fan_outs():
    [found] = find(ast.parse("from prefect_dask import DaskTaskRunner\n"))
    assert "a Pod for each item" in found.advice


def test_files_of_a_folder_that_are_not_programs_are_listed(tmp_path, capsys):
    (tmp_path / "prefect.yaml").write_text("name: prefect\n")
    (tmp_path / "report.ipynb").write_text('{"cells": [{"source": ["from prefect import flow"]}]}')
    (tmp_path / "requirements-dev.txt").write_text("prefect==3.9.1\n")
    (tmp_path / "requirements.txt").write_text("pandas\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "requirements.txt").write_text("prefect\n")

    assert main([str(tmp_path)]) == DONE

    *listed, summary = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in listed] == [
        str(tmp_path / name) for name in ("prefect.yaml", "report.ipynb", "requirements-dev.txt")
    ]
    assert summary == "0 files, 0 rewritten, 0 without a counterpart, 3 different"


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("from prefect.exceptions import ParameterTypeError", "its message has other words"),
        ("from prefect.client.schemas.objects import StateType", "as text it is COMPLETED"),
        ("from prefect.transactions import CommitMode", "as text it is EAGER"),
        ("from prefect.variables import Variable", "and set() returns None"),
    ],
)
def test_names_that_differ_in_small_things_are_listed(source, want):
    [found] = find(ast.parse(source))
    assert not found.is_missing
    assert want in found.advice
