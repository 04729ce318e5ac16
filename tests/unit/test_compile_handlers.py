"""What the function of a flow catches: neither the failure of a Pod, nor a refusal of the compiler."""

import asyncio
import contextlib
import json
import re
import threading
import warnings

import pytest

from penstock import flow, task
from penstock.authoring.compilation import compile_flow
from penstock.errors import CompileError
from penstock.futures import wait


@task
def load(value):
    return value


@task
async def fetch(value):
    return value


def helper():
    return load(1)


def catches_everything_of_a_call():
    try:
        load(1)
    except Exception as error:  # noqa: BLE001 - what is tested
        load(f"failed: {error}")


def catches_a_condition():
    rows = load(1)
    try:
        if rows > 5:
            return load(2)
    except Exception:  # noqa: BLE001 - what is tested
        pass
    return load(99)


def catches_bare():
    rows = load([1])
    try:
        for row in rows:
            load(row)
    except:  # noqa: E722 - what is tested
        pass
    return load(2)


def returns_in_finally():
    rows = load([1])
    try:
        return list(rows)
    finally:
        return load(2)  # noqa: B012, SIM107 - what is tested


def suppresses_everything():
    rows = load([1])
    with contextlib.suppress(BaseException):
        list(rows)
    return load(2)


def raises_another():
    rows = load([1])
    try:
        list(rows)
    except BaseException as error:
        raise ValueError("no") from error


def leaves_the_process():
    rows = load([1])
    try:
        list(rows)
    except BaseException:  # noqa: BLE001 - what is tested
        raise SystemExit(3) from None


def repeats_until_it_works():
    rows = load([1])
    while True:
        try:
            return list(rows)
        except:  # noqa: E722 - what is tested
            continue


def catches_the_type_error_of_a_library():
    rows = load([1])
    try:
        text = json.dumps(rows)
    except TypeError:
        text = "?"
    return load(text)


def asks_in_a_thread():
    rows = load([1])
    thread = threading.Thread(target=lambda: list(rows))
    thread.start()
    thread.join()
    return load(2)


async def gathers_what_is_refused():
    rows = await fetch([1])

    async def read():
        return list(rows)

    await asyncio.gather(read(), return_exceptions=True)
    return load(2)


@pytest.mark.parametrize(
    ("fn", "line", "message"),
    [
        (catches_everything_of_a_call, 2, "'load' is called inside the `try` of line"),
        (catches_a_condition, 3, "the result of 'load'"),
        (catches_bare, 3, "is iterated over"),
        (returns_in_finally, 3, "is iterated over"),
        (suppresses_everything, 3, "is iterated over"),
        (raises_another, 3, "is iterated over"),
        (leaves_the_process, 3, "is iterated over"),
        (repeats_until_it_works, 4, "is iterated over"),
        (catches_the_type_error_of_a_library, 3, "a value is needed that is known only when the flow runs"),
        (asks_in_a_thread, 2, "is iterated over"),
        (gathers_what_is_refused, 4, "is iterated over"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_refusal_ends_the_compilation_whatever_the_flow_catches(fn, line, message):
    number = fn.__code__.co_firstlineno + line

    with pytest.raises(CompileError, match=rf"test_compile_handlers\.py:{number}: .*{re.escape(message)}"):
        compile_flow(flow(fn, name="etl"), entrypoint="tests:flow")


def asks_for_a_result():
    future = load.submit(1)
    try:
        return future.result()
    except ValueError:
        return load(2)


def waits():
    future = load.submit(1)
    try:
        future.wait()
    finally:
        load(2)


def waits_for_all():
    future = load.submit(1)
    try:
        wait([future])
    except ValueError:
        load(2)


def asks_for_all_results():
    futures = load.map([1, 2])
    try:
        return futures.result()
    except ValueError:
        return load(2)


def asks_a_state():
    state = load(1, return_state=True)
    try:
        return state.result()
    except ValueError:
        return load(2)


def suppresses_a_result():
    future = load.submit(1)
    with contextlib.suppress(ValueError):
        return future.result()


async def suppresses_an_awaited_future():
    future = load.submit(1)
    try:
        await future
    except ValueError:
        load(2)


async def gathers_in_a_handler():
    calls = [fetch(1), fetch(2)]
    try:
        await asyncio.gather(*calls)
    except ValueError:
        load(2)


async def groups_in_a_handler():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch(1))
    except* ValueError:
        load(2)


def calls_a_function_in_a_handler():
    try:
        return helper()
    except ValueError:
        return load(2)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (asks_for_a_result, "'load' is waited for inside the `try` of line"),
        (waits, "'load' is waited for inside the `try` of line"),
        (waits_for_all, "'load' is waited for inside the `try` of line"),
        (asks_for_all_results, "'load' is waited for inside the `try` of line"),
        (asks_a_state, "'load' is waited for inside the `try` of line"),
        (suppresses_a_result, "'load' is waited for inside the `with suppress()` of line"),
        (suppresses_an_awaited_future, "'load' is waited for inside the `try` of line"),
        (gathers_in_a_handler, "'fetch' is called inside the `try` of line"),
        (groups_in_a_handler, "'fetch' is called inside the `try` of line"),
        (calls_a_function_in_a_handler, "'load' is called inside the `try` of line"),
    ],
)
def test_a_failure_that_the_flow_would_catch_is_refused(fn, message):
    with pytest.raises(CompileError, match=rf"test_compile_handlers\.py:\d+: {re.escape(message)}"):
        compile_flow(flow(fn, name="etl"), entrypoint="tests:flow")


try:
    import tomllib

    def defined_in_a_try():
        return load(tomllib.__name__)
except ImportError:
    pass


def catches_what_is_known_when_it_is_compiled():
    value = "many"
    try:
        number = int(value)
    except ValueError:
        number = 0
    return load(number)


@pytest.mark.parametrize("fn", [defined_in_a_try, catches_what_is_known_when_it_is_compiled])
def test_a_handler_around_other_code_is_compiled(fn):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = compile_flow(flow(fn, name="etl"), entrypoint="tests:flow")
    assert [each["name"] for each in made["spec"]["tasks"]] == ["load"]


async def gathers():
    return await asyncio.gather(fetch(1), fetch(2))


@pytest.mark.parametrize("fn", [helper, gathers])
def test_a_handler_around_the_compiler_is_none_of_the_flow(fn):
    try:
        made = compile_flow(flow(fn, name="etl"), entrypoint="tests:flow")
    except CompileError:
        made = None
    assert made is not None


@contextlib.contextmanager
def guard():
    try:
        yield
    except ValueError as error:
        print("hidden", error)


@contextlib.asynccontextmanager
async def async_guard():
    with contextlib.suppress(ValueError):
        yield


@contextlib.contextmanager
def guarded_session(name="x"):
    with guard():
        yield name


class Swallow:
    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        return kind is ValueError

    @contextlib.contextmanager
    def of_method(self):
        try:
            yield self
        except ValueError:
            raise RuntimeError from None


swallow = Swallow()


def by_a_function():
    with guard():
        load(1)


def by_a_call_in_a_function():
    with guard():
        helper()


async def by_an_async_function():
    async with async_guard():
        await fetch(1)


async def by_a_function_around_gathered_calls():
    async with async_guard():
        await asyncio.gather(fetch(1), fetch(2))


def by_a_function_in_a_function():
    future = load.submit(1)
    with guarded_session("y"):
        return future.result()


def by_a_class():
    with Swallow():
        load(1)


def by_an_object():
    with swallow:
        load(1)


def by_a_method():
    with swallow.of_method():
        load(1)


def by_a_stack():
    with contextlib.ExitStack() as stack:
        stack.enter_context(guard())
        load(1)


def by_a_renamed_suppress():
    ignoring = contextlib.suppress
    with ignoring(ValueError):
        load(1)


@guard()
def by_a_decorator():
    load(1)


@pytest.mark.parametrize(
    ("fn", "where"),
    [
        (by_a_function, "inside the `with guard()` of line"),
        (by_a_call_in_a_function, "inside the `with guard()` of line"),
        (by_an_async_function, "inside the `with async_guard()` of line"),
        (by_a_function_around_gathered_calls, "inside the `with async_guard()` of line"),
        (by_a_function_in_a_function, "inside the `with guarded_session('y')` of line"),
        (by_a_class, "inside the `with Swallow()` of line"),
        (by_an_object, "inside the `with swallow` of line"),
        (by_a_method, "inside the `with swallow.of_method()` of line"),
        (by_a_stack, "inside the `with guard()` of line"),
        (by_a_renamed_suppress, "inside the `with ignoring(ValueError)` of line"),
        (by_a_decorator, "inside the context manager 'guard' that decorates the function"),
    ],
)
def test_a_failure_that_a_context_manager_would_hide_is_refused(fn, where):
    with pytest.raises(CompileError, match=rf"'(load|fetch)' is (called|waited for) {re.escape(where)}"):
        compile_flow(flow(fn, name="etl"), entrypoint="tests:flow")


CLEANED: list[int] = []


@contextlib.contextmanager
def cleans_up():
    try:
        yield
    finally:
        CLEANED.append(1)


@contextlib.contextmanager
def prepares():
    try:
        number = int("x")
    except ValueError:
        number = 0
    yield number


class Closes:
    def __enter__(self):
        return load(0)

    def __exit__(self, *details):
        if details[0] is None:
            return False
        return swallow.__exit__(*details)


def with_managers_that_hide_nothing():
    with cleans_up(), prepares() as number, Closes(), threading.Lock(), contextlib.nullcontext():
        load(number)


def test_a_context_manager_that_hides_nothing_is_compiled():
    made = compile_flow(flow(with_managers_that_hide_nothing, name="etl"), entrypoint="tests:flow")
    assert [each["name"] for each in made["spec"]["tasks"]] == ["load", "load-2"]
