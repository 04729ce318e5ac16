"""Compiled flows run as processes, one for each attempt, and give what they give in one process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.engine.failure_message import describe_exit
from tests.task_processes import run_manifest
from tests.unit.compiled_flows import as_processes, in_process, manifest, python, write

MODULES = 170
"""More than what a task imports today, and a fraction of what a heavy library would bring."""


def test_values_of_all_kinds_reach_the_next_task_as_they_were(tmp_path):
    file = write(
        tmp_path,
        """
        VALUES = [None, True, 0, 1.0, 2.5, "", "$(HOME) $$ ü", [1, [2.0, None]], {"b": 1, "a": {"c": []}}, (1, 2), {1},
                  dt.date(2026, 11, 22), Row("mon", (1.0, 2.0)), Colour.RED, 2**70, b"x", float("inf"), {1: 2}]

        @task
        def make(index: int):
            return VALUES[index]

        @task
        def same(index: int, value) -> bool:
            return repr(value) == repr(VALUES[index])

        @task
        def literal(value) -> str:
            return repr(value)

        @flow
        def etl():
            indexes = list(range(len(VALUES)))
            return [same.map(indexes, make.map(indexes)).result(), literal.map(VALUES).result()]
        """,
    )

    run = as_processes(file)

    assert run.state == "Completed", run.tasks
    assert run.outputs["result"] == in_process(file)
    assert run.outputs["result"][0] == [True] * 18


def test_a_flow_with_everything_gives_the_same_in_both_ways(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def days(count: int) -> list[str]:
            return [f"day {number}" for number in range(count)]

        @task(retries=2, retry_delay_seconds=0, log_prints=True)
        def load(day: str, scale: float, kind: Colour) -> Row:
            print("loading", day)
            return Row(day, (len(day) * scale, 1.0))

        @task
        async def parse(row: Row, *, factor: int = 1) -> float:
            return sum(row.values) * factor

        @task
        def total(rows: list[float]) -> dict[str, float]:
            return {"sum": sum(rows), "count": len(rows)}

        @task
        def fail():
            raise ValueError("no")

        @task
        def describe(error: object) -> bool:
            return isinstance(error, Exception)

        @task(tags=["one"])
        def where(name: str) -> list[str]:
            return [runtime.task_run.task_name, *runtime.task_run.tags, str(get_run_logger() is not None)]

        @task
        def numbers():
            yield 1
            yield 2

        @flow
        def etl(count: int = 3, scale: float = 2, day: dt.date = dt.date(2026, 11, 22), kind: Colour = Colour.RED,
                regions: list[str] = ["eu", "us"]) -> dict:
            names = days(count)
            rows = parse.map(load.map(names, scale, unmapped(kind)), factor=2)
            result = total.submit(rows)
            failed = fail.submit()
            allowed = describe(allow_failure(failed))
            with tags("two"):
                place = where("x")
            more = total.submit(numbers.submit(), wait_for=rows)
            regional = days.map([1, 2])
            return {
                "total": result.result(), "allowed": allowed, "where": place, "scale": scale,
                "regional": regional.result(), "more": more.result(),
            }
        """,
    )

    run = as_processes(file)

    assert run.state == "Completed", [(each["name"], each.get("message")) for each in run.tasks.values()]
    assert run.outputs["result"] == in_process(file)
    assert run.outputs["result"]["total"] == {"count": 3, "sum": 66}
    assert "loading day 1" in run.logs["load/1/1"]
    assert run.tasks["fail"]["state"] == "Failed"


def test_results_that_are_too_big_for_outputs_go_to_the_storage(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def make(count: int) -> list[str]:
            return [f"item {number} " + "x" * 100 for number in range(count)]

        @task
        def work(item: str) -> str:
            return item[:8] + "y" * 900

        @task
        def gather(items: list[str]) -> int:
            return sum(len(each) for each in items)

        @flow
        def etl(count: int = 38) -> int:
            return gather(work.map(make(count)))
        """,
    )

    run = as_processes(file, storage=str(tmp_path / "storage"))
    without = as_processes(file)

    assert run.state == "Completed", [(each["name"], each.get("message")) for each in run.tasks.values()]
    assert run.outputs["result"] == in_process(file) == 38 * 908
    assert run.tasks["make"]["outputs"]["result"] == {"type": "list", "length": 38}
    assert run.tasks["work"]["reason"] == "OutputsDropped"
    assert without.state == "Failed"
    assert "set a storage on the flow (@flow(storage='s3://bucket/prefix')" in without.tasks["make"]["message"]


def test_a_result_that_was_changed_in_the_storage_is_refused(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def make() -> bytes:
            return b"x" * 10000

        @task
        def spoil(value: bytes) -> int:
            for each in __import__("pathlib").Path("storage").rglob("*.pickle"):
                each.write_bytes(b"evil")
            return 1

        @task
        def use(value: bytes) -> int:
            return len(value)

        @flow
        def etl():
            value = make()
            spoil(value)
            use(value)
        """,
    )

    run = as_processes(file, storage=str(tmp_path / "storage"))

    assert run.state == "Failed"
    assert "is not what was stored there: its hash differs" in run.tasks["use"]["message"]


def test_functions_and_local_classes_are_passed_to_the_next_task(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def make(n):
            class Row:
                value = n

            return Row(), lambda x: x + n

        @task
        def use(made):
            return made[0].value, made[1](10)

        @flow
        def etl():
            return use(make(2))
        """,
    )

    run = as_processes(file)

    assert run.state == "Completed"
    assert run.outputs["result"] == [2, 12]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return __import__('threading').Lock()", "a lock, cannot be passed to another Pod"),
        ("return open('my_flow.py')", "cannot be passed to another Pod"),
        ("return 'x' * 5000", "the limit of outputs is 4095: set a storage on the flow"),
        ("print('partial', end=''); raise SystemExit(3)", "exit code 78: error: SystemExit: 3"),
    ],
)
def test_what_a_retry_would_not_help_is_not_tried_again(tmp_path, body, message):
    file = write(
        tmp_path,
        f"""
        @task(retries=3)
        def bad():
            {body}

        @flow
        def etl():
            bad()
        """,
    )

    run = as_processes(file)

    assert run.state == "Failed"
    assert run.tasks["bad"]["exitCode"] == 78
    assert run.tasks["bad"]["attempt"] == 1
    assert message in run.tasks["bad"]["message"]


def test_a_flow_in_one_pod_that_exits_says_so(tmp_path):
    file = write(
        tmp_path,
        """
        @flow(run_as="pod")
        def etl():
            print("partial", end="")
            raise SystemExit(3)
        """,
    )

    run = as_processes(file)

    assert run.state == "Failed"
    assert run.tasks["etl"]["message"].splitlines()[0] == "exit code 78: error: SystemExit: 3"


@pytest.mark.parametrize("call", ["etl.serve(name='x')", "serve(etl.to_deployment('x'))", "etl.deploy('x', image='x')"])
def test_a_pod_neither_serves_nor_deploys_when_it_imports_a_module(tmp_path, call):
    file = write(
        tmp_path,
        f"""
        import os

        from penstock import serve

        @task
        def load():
            return 1

        @flow
        def etl():
            return load()

        if "PENSTOCK_CALL" in os.environ:
            {call}
        """,
    )

    run = as_processes(file)

    assert (run.state, run.outputs["result"]) == ("Completed", 1)


def test_a_module_that_exits_when_it_is_imported_fails_the_task(tmp_path):
    file = write(
        tmp_path,
        """
        import os

        @task
        def load():
            return 1

        @flow
        def etl():
            load()

        if "PENSTOCK_CALL" in os.environ:
            raise SystemExit(0)
        """,
    )

    run = as_processes(file)

    assert run.state == "Failed"
    assert "module 'my_flow' exits when it is imported (exit code 0)" in run.tasks["load"]["message"]


def test_retries_hooks_and_the_condition_go_by_attempts(tmp_path):
    file = write(
        tmp_path,
        """
        def note(*what):
            with open("notes", "a") as notes:
                print(*what, file=notes)

        @task(retries=2, on_running=[lambda t, r, s: note("running", r.run_count)],
              on_failure=[lambda t, r, s: note("failed", s.name)])
        def bad():
            raise ValueError("no")

        @task(retries=5, retry_condition_fn=lambda t, r, s: r.run_count < 2)
        def picky():
            raise ValueError("no")

        @flow
        def etl():
            bad.submit()
            picky.submit()
        """,
    )

    run = as_processes(file)

    assert (tmp_path / "notes").read_text().splitlines() == ["running 1", "running 2", "running 3", "failed Failed"]
    assert run.tasks["bad"]["attempt"] == 3
    assert run.tasks["picky"]["attempt"] == 2


def test_a_flow_in_one_pod_may_use_any_python_and_counts_its_tasks(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def count(day: dt.date) -> int:
            return day.day

        @flow(run_as="pod", retries=1)
        def etl(day: dt.date = dt.date(2026, 11, 22)) -> int:
            number = count(day)
            while number < 30:
                number += count(day)
            return number
        """,
    )

    run = as_processes(file)

    assert run.state == "Completed", run.tasks
    assert run.outputs == {"result": 44, "tasks": {"count": {"Completed": 2}}}


def test_a_failed_flow_in_one_pod_says_what_was_raised(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def fails():
            raise ValueError("boom")

        @flow(run_as="pod")
        def etl():
            fails()
        """,
    )

    run = as_processes(file)

    assert run.state == "Failed"
    assert run.tasks["etl"]["message"].splitlines()[-1] == "ValueError: boom"


@pytest.mark.parametrize("run_as", ["tasks", "pod"])
@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("'x' * 5000", "Broken: " + "x" * 100, id="a long line"),
        pytest.param("'é' * 5000", "Broken: " + "é" * 100, id="a long line of other letters"),
        pytest.param(
            r"'\n'.join(f'no row {n}: KeyError: {n}' for n in range(200))", "Broken: no row 0: ", id="many lines"
        ),
    ],
)
def test_the_message_of_a_failure_has_the_type_of_an_exception_with_a_long_text(tmp_path, text, want, run_as):
    file = write(
        tmp_path,
        f"""
        class Broken(Exception): ...

        @task
        def fails():
            raise Broken({text})

        @flow(run_as={run_as!r})
        def etl():
            fails()
        """,
    )

    (failed,) = as_processes(file).tasks.values()

    first = describe_exit(1, failed["message"].encode()[-2048:].decode(errors="ignore")).splitlines()[0]
    assert first.startswith(f"exit code 1: error: {want}")


def test_arguments_of_map_of_different_lengths_fail_the_items(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def add(a: int, b: int) -> int:
            return a + b

        @flow
        def etl(one: list[int], other: list[int]):
            add.map(one, other)
        """,
    )

    good = as_processes(file, {"one": [1, 2], "other": [3, 4]})
    bad = as_processes(file, {"one": [1, 2], "other": [3]})

    assert good.tasks["add"]["outputs"] == [{"result": 4}, {"result": 6}]
    assert bad.state == "Failed"


def measured(folder: Path, code: str) -> str:
    """Return what a program prints that has just imported what a task's Pod imports."""
    return python(folder, f"import sys; before = len(sys.modules); import penstock.runner.task; {code}")


def test_a_task_starts_without_what_it_does_not_need(tmp_path):
    heavy = ["pydantic", "kubernetes", "obstore", "asyncio", "yaml", "rich", "cel_expr_python", "penstock.api"]

    assert measured(tmp_path, f"print([name for name in {heavy!r} if name in sys.modules])") == "[]\n"


def test_a_task_starts_with_few_modules_and_in_40_megabytes(tmp_path):
    memory = "next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))"

    # What they take in milliseconds is for a benchmark to say: `make bench-sdk`.
    assert int(measured(tmp_path, "print(len(sys.modules) - before)")) < MODULES
    assert int(measured(tmp_path, f"print({memory})")) < 40 * 1024


def test_failures_that_are_allowed_reach_whoever_wants_to_know(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def picky(number: int) -> int:
            if number == 1:
                raise ValueError("no")
            return number

        @task
        def note_values(values: object) -> list[str]:
            listed = values if isinstance(values, list) else [values]
            return ["failed" if isinstance(each, Exception) else str(each) for each in listed]

        @flow
        def etl():
            futures = picky.map([0, 1, 2])
            together = note_values.submit(allow_failure(futures))
            one_by_one = note_values.map(allow_failure(futures))
            state = picky(1, return_state=True)
            after = note_values.submit("after")
            skipped = note_values.submit(allow_failure(note_values.submit(state)))
            return [each.result() for each in (together, one_by_one, after, skipped)]
        """,
    )

    run = as_processes(file)

    assert run.state == "Completed", [(each["name"], each.get("message")) for each in run.tasks.values()]
    assert run.outputs["result"] == in_process(file)
    assert run.outputs["result"] == [["0", "failed", "2"], [["0"], ["failed"], ["2"]], ["after"], ["failed"]]


def test_flows_in_one_pod_inside_of_others_and_coroutines_get_what_they_are_handed(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        async def rows(day: dt.date) -> tuple[Row, ...]:
            return (Row(str(day), (1.0,)),)

        @task
        async def length(row: Row) -> int:
            return len(row.day)

        @flow(run_as="pod")
        async def inner(given: list, day: dt.date, colour: Colour) -> tuple[int, str]:
            lengths = [await length(row) for row in given]
            return sum(lengths) + day.day, colour.value

        @task
        def describe(pair: tuple[int, str]) -> str:
            return repr(pair)

        @flow
        async def etl(day: dt.date = dt.date(2026, 11, 22), kind: Colour = Colour.RED) -> str:
            return describe(await inner(await rows(day), day, kind))
        """,
    )

    run = as_processes(file)

    assert run.state == "Completed", [(each["name"], each.get("message")) for each in run.tasks.values()]
    assert run.outputs["result"] == "(32, 'red')"
    assert run.tasks["inner"]["outputs"]["tasks"] == {"length": {"Completed": 1}}


def test_a_script_that_compiles_itself_hands_on_its_own_classes(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def describe(row: Row, kind: Colour) -> str:
            return f"{row.day} {kind.value}"

        @flow
        def etl() -> str:
            return describe(Row("mon", ()), Colour.RED)

        if __name__ == "__main__":
            import json
            from penstock.authoring.compilation import compile_flow
            print(json.dumps(compile_flow(etl, image="penstock:dev")))
        """,
    )
    done = subprocess.run([sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, check=True)

    run = run_manifest(json.loads(done.stdout), folder=tmp_path, python=sys.executable)

    assert run.outputs == {"result": "mon red"}, [(each["name"], each.get("message")) for each in run.tasks.values()]


def test_a_storage_that_can_not_be_written_may_be_written_next_time(tmp_path):
    file = write(
        tmp_path,
        """
        @task(retries=1)
        def make() -> str:
            return "x" * 5000

        @flow
        def etl() -> None:
            make()
        """,
    )
    (tmp_path / "storage").write_text("no folder")

    run = as_processes(file, storage=str(tmp_path / "storage"))

    assert run.tasks["make"]["attempt"] == 2
    assert "cannot write the result to" in run.tasks["make"]["message"]
    assert "check PENSTOCK_STORAGE" in run.tasks["make"]["message"]


def test_params_that_are_left_out_are_none(tmp_path):
    file = write(
        tmp_path,
        """
        @task
        def describe(*values: object) -> str:
            return repr(values)

        @flow(run_as="pod")
        def inner(until: dt.date | None = None) -> str:
            return repr(until)

        @flow
        def etl(most: int | None = None, until: dt.date | None = None, names: list[str] | None = None) -> list[str]:
            return [describe(most, until, names), inner(until)]
        """,
    )

    without = as_processes(file)
    given = as_processes(file, {"most": 3, "until": "2026-11-22", "names": ["a"]})

    assert without.outputs["result"] == ["(None, None, None)", "None"] == in_process(file)
    day = "datetime.date(2026, 11, 22)"
    assert given.outputs["result"] == [f"(3, {day}, ['a'])", day]


def test_items_with_the_same_input_use_each_others_results(tmp_path):
    file = write(
        tmp_path,
        """
        from penstock.cache_policies import INPUTS, TASK_SOURCE
        from penstock.task_runners import ThreadPoolTaskRunner

        @task(cache_policy=INPUTS + TASK_SOURCE)
        def load(day: str, scale: int) -> int:
            return len(day) * scale

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
        def etl(days: list[str], scale: int = 2) -> list[int]:
            return load.map(days, scale).result()
        """,
    )

    # What the cache answers is forgotten in a crash, and here one follows each step.
    params = {"days": ["a", "bb", "a"]}
    run = run_manifest(manifest(file), params, folder=tmp_path, python=sys.executable, crashes=False)

    assert run.state == "Completed"
    assert run.outputs["result"] == [2, 4, 2]
    assert run.tasks["load"]["items"]["counts"] == {"Cached": 1, "Completed": 2}


def test_on_failure_of_a_flow_receives_the_error_when_its_run_has_finished(tmp_path):
    file = write(
        tmp_path,
        """
        def note(flow, run, state):
            with open("notes", "a") as notes:
                print(flow.name, run.name, state.name, state.type, state.message, file=notes)

        def raises(flow, run, state):
            raise ValueError("no")

        async def later(flow, run, state):
            note(flow, run, state)

        @task
        def hooks(is_bad: bool) -> bool:
            assert not is_bad, "it is bad"
            return is_bad

        @flow(on_failure=[raises, note, later], on_cancellation=[note])
        def etl(is_bad: bool) -> bool:
            return hooks(is_bad)
        """,
    )

    good = as_processes(file, {"is_bad": False})
    bad = as_processes(file, {"is_bad": True})

    assert (good.state, good.tasks["hooks-2"]["state"]) == ("Completed", "Skipped")
    assert (bad.state, bad.tasks["hooks-2"]["state"]) == ("Failed", "Completed")
    note = "etl run Failed FAILED task hooks failed: exit code 1: AssertionError: it is bad\n"
    assert (tmp_path / "notes").read_text() == note * 2
    assert "Hook 'raises' raised" in bad.logs["hooks-2/None/1"]


def test_on_failure_receives_every_item_that_failed(tmp_path):
    file = write(
        tmp_path,
        """
        def note(flow, run, state):
            with open("notes", "w") as notes:
                print(state.message, file=notes)

        @task
        def load(day: str) -> None:
            raise KeyError(day)

        @flow(on_failure=[note])
        def etl() -> None:
            load.map(["a", "b"])
        """,
    )

    as_processes(file, {})

    first, *rest = (tmp_path / "notes").read_text().splitlines()
    assert re.fullmatch(r"task load failed: item \d: exit code 1: KeyError: '[ab]'; 2 of 2 items failed", first)
    assert sorted(rest) == ["load[0]: exit code 1: KeyError: 'a'", "load[1]: exit code 1: KeyError: 'b'"]
