"""`penstock run --local etl.py:NAME`: flows of Python files, run in this process."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from penstock.authoring.compilation import compile_flow
from penstock.cli.deployment.compile import load_flow
from penstock.cli.main import main

FLOWS = textwrap.dedent("""\
    from penstock import flow, task
    import beside_it


    @task
    def double(n):
        return n * beside_it.FACTOR


    @flow
    def etl(day: str, n: int = 1, words=()):
        return {"day": day, "n": double(n), "words": list(words)}


    @flow
    def fails():
        raise ValueError("no luck")


    @flow
    async def later(n: int):
        return n
    """)


@pytest.fixture
def typed(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for module in ("flows_of_test", "beside_it"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "flows_of_test.py").write_text(FLOWS)
    (tmp_path / "beside_it.py").write_text("FACTOR = 2\n")
    monkeypatch.chdir(tmp_path)

    def typed(*words):
        code = main(["run", "--local", *words])
        printed, log = capfd.readouterr()
        return code, printed, log

    return typed


def test_a_flow_gets_its_params_and_its_result_can_be_printed(typed):
    code, printed, log = typed("flows_of_test.py:etl", "-p", "day=2026", "-p", "n=4", "-p", 'words=["a"]', "-o", "json")
    assert code == 0, log
    assert printed == '{\n    "day": "2026",\n    "n": 8,\n    "words": [\n        "a"\n    ]\n}\n'


def test_a_coroutine_is_a_flow_too(typed):
    assert typed("flows_of_test.py:later", "-p", "n=4", "-o", "json")[:2] == (0, "4\n")


def test_what_the_code_prints_is_apart_from_a_result_that_a_program_reads(typed):
    loud = """\
    import os
    from penstock import flow

    print("module")
    os.system("echo process")

    @flow
    def etl():
        print("function")
        return 1
    """
    Path("flows_of_test.py").write_text(textwrap.dedent(loud))

    code, printed, log = typed("flows_of_test.py:etl", "-o", "json")

    assert (code, printed) == (0, "1\n"), log
    assert all(word in log for word in ("module", "process", "function"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("flows_of_test.py:fails",), "penstock: flow fails failed: ValueError: no luck"),
        (("flows_of_test.py:elt",), "'elt' not found in flows_of_test"),
        (
            ("flows_of_test.py",),
            "flows_of_test.py contains several flows (etl, fails, later): name one, such as flows_of_test.py:etl",
        ),
        (("nothing.py:etl",), "nothing.py: file not found"),
        (("flows_of_test.py:etl", "-p", "dya=1"), 'flow etl has no parameter dya (did you mean "day"?)'),
        (("flows_of_test.py:etl", "-p", "day=1", "--docker"), "--docker is valid only for manifests"),
        (("flows_of_test.py:etl",), "day"),
    ],
)
def test_what_does_not_work_is_said_in_one_line(typed, words, message):
    code, _, log = typed(*words)
    assert code == 1
    assert message in log.splitlines()[-1]


def test_a_run_on_this_machine_loads_no_client_of_a_cluster():
    program = "import sys, penstock.cli.commands.runs.run_local; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_whole_number_of_any_size_reaches_the_flow(typed):
    code, printed, log = typed("flows_of_test.py:later", "-p", "n=99999999999999999999")
    assert (code, printed) == (0, "result: 99999999999999999999\n"), log


def test_missing_parameters_are_named_with_what_to_type(typed):
    code, _, log = typed("flows_of_test.py:etl", "-p", "n=1")
    assert code == 1
    assert "missing a required argument: 'day': use -p day=..., or --params-file" in log


def test_a_python_task_runs_with_this_interpreter_if_that_of_the_path_lacks_penstock(tmp_path, typed, monkeypatch):
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho another python; exit 9\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:{os.environ['PATH']}")
    (tmp_path / "compiled_of_test.py").write_text(
        "from penstock import flow, task\n\n\n@task\ndef double(n):\n    return n * 2\n\n\n"
        "@flow\ndef etl(n: int):\n    return double(n)\n"
    )
    flow = compile_flow(load_flow("compiled_of_test.py:etl"), image="any")
    (tmp_path / "flow.yaml").write_text(json.dumps(flow))
    code, printed, log = typed("flow.yaml", "-p", "n=4")
    assert code == 0, printed + log
    assert "result: 8" in printed + log
    assert "another python" not in printed + log
