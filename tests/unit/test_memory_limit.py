"""Every process that evaluates other people's expressions limits the memory that one of them may take."""

import resource
import subprocess
import sys
import textwrap
import threading

import pytest

from penstock.engine.expressions.expression import Scope, compile_expression
from penstock.engine.expressions.memory_limit import LIMIT_BYTES, limited_evaluation, set_memory_limit
from penstock.memory_limit import limited_memory

GROWING = "[params.big].map(x, x + x)"


@pytest.fixture
def unlimited():
    before = set_memory_limit(None)
    yield
    set_memory_limit(before)


def test_an_evaluation_runs_inside_the_limit_that_the_process_hands_in(unlimited):
    asked: list[int] = []

    def limit(limit_bytes):
        asked.append(limit_bytes)
        return limited_memory(limit_bytes)

    set_memory_limit(limit)
    values = {"params": {"big": "xy"}}
    assert compile_expression(GROWING, Scope(frozenset({"params"}))).evaluate(values) == ["xyxy"]
    assert asked == [LIMIT_BYTES]


def test_without_a_limit_an_expression_is_evaluated_all_the_same(unlimited):
    with limited_evaluation():
        assert compile_expression("1 + 1", Scope(frozenset())).evaluate({}) == 2


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("from penstock.cli.main import main; main(['version'])", id="the command line"),
        pytest.param(
            "from penstock_operator import __main__ as entry; entry.parse = lambda *_: exit(); entry.main()",
            id="the operator",
        ),
        pytest.param(
            "from penstock.local.serving import serve; "
            "serve.serve([], limit=None, is_forgetful=True, is_announced=False)",
            id="a script that serves deployments",
        ),
        pytest.param("from penstock.cli.deployment.from_python import deploy; deploy([])", id="a script that deploys"),
        pytest.param(
            "from penstock.cli.deployment.run_deployment import run_deployment as run;"
            " run('x', {}, scheduled_time=None, run_name=None, timeout_s=0, tags=(), idempotency_key=None,"
            " is_cancelled_with_caller=False, kubeconfig='/none')",
            id="a script that starts a run in a cluster",
        ),
    ],
)
def test_each_process_that_evaluates_expressions_hands_in_a_limit(start):
    code = f"""
        import contextlib
        from penstock.errors import PenstockError
        with contextlib.suppress(SystemExit, PenstockError):
            {start}
        from penstock.engine.expressions import memory_limit
        print("LIMIT", memory_limit._limit.__name__)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert "LIMIT limited_memory" in ran.stdout, ran.stderr


def test_the_limit_of_the_process_is_the_same_after_many_threads_have_evaluated(unlimited):
    set_memory_limit(limited_memory)
    expression = compile_expression(GROWING, Scope(frozenset({"params"})))
    before = resource.getrlimit(resource.RLIMIT_AS)
    switch_s = sys.getswitchinterval()

    def work() -> None:
        for _ in range(200):
            expression.evaluate({"params": {"big": "xy"}})

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch_s)

    assert resource.getrlimit(resource.RLIMIT_AS) == before
