"""Tasks: functions whose calls are task runs, with states, retries, caching and hooks."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from penstock.authoring.arguments.argument_futures import Pending
from penstock.authoring.backend import Call, current_backend
from penstock.authoring.function import Decorated, HookT
from penstock.authoring.options.option_reader import read_task_options
from penstock.authoring.options.options import TaskKeywords, TaskOptions
from penstock.authoring.prefect.not_offered import refuse_methods
from penstock.authoring.prefect.prefect_names import METHODS_OF_TASKS
from penstock.authoring.runs.futures import Future, FutureList
from penstock.authoring.runs.states import State
from penstock.errors import OptionError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@refuse_methods("tasks", METHODS_OF_TASKS)
class Task(Decorated[TaskOptions], Generic[P, R]):
    """A function whose calls are task runs, created by `@task`.

    Args:
        fn: the function.
        options: the task's options.
        origin: the function as found in its class, if it is a method.
    """

    def __init__(self, fn: Any, options: TaskOptions, origin: Any = None) -> None:
        super().__init__(fn, options.name, options, origin)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> State[R]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any) -> R: ...
    @overload
    def __call__(self, first: Pending, /, *args: Any, **kwargs: Any) -> R: ...
    @overload
    def __call__(self, first: Any, second: Pending, /, *args: Any, **kwargs: Any) -> R: ...
    @overload
    def __call__(self, **kwargs: Pending) -> R: ...

    def __call__(self, *args: Any, return_state: Any = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Run the task, and return its result.

        Args:
            *args: arguments of the function; futures among them are waited for and replaced by their results.
            return_state: return the state instead of the result, and do not raise if the task fails.
            wait_for: futures to wait for in addition to those among the arguments.
            **kwargs: as args.

        Raises:
            ParameterError: the arguments do not match the function.
            UpstreamFailedError: a task that this one depends on did not complete.
            Exception: the exception of the function, after the last attempt.
        """
        return current_backend().call_task(self, Call(args, kwargs, wait_for, return_state))

    @property
    def source_code(self) -> str | None:
        """The source code of its function; None if there is none. Prefect's name."""
        try:
            return inspect.getsource(inspect.unwrap(self.fn))
        except (OSError, TypeError):
            return None

    @overload
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    @overload
    def submit(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> State[R]: ...
    @overload
    def submit(self, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, first: Pending, /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, first: Any, second: Pending, /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, **kwargs: Pending) -> Future[R]: ...

    def submit(self, *args: Any, return_state: Any = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Run the task concurrently, and return its future. It runs in a thread, or on an event loop if it is async.

        Args:
            *args: arguments of the function; the task starts when the futures among them are done.
            return_state: wait, and return the state instead of a future.
            wait_for: futures to wait for in addition to those among the arguments.
            **kwargs: as args.

        Raises:
            ParameterError: the arguments do not match the function.
        """
        future = current_backend().submit(self, Call(args, kwargs, wait_for))
        return _wait_for_state(future) if return_state else future

    @overload
    def map(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> list[State[R]]: ...
    @overload
    def map(
        self, *args: Any, wait_for: Any = None, return_state: Literal[False] = False, **kwargs: Any
    ) -> FutureList[R]: ...

    def map(self, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> Any:
        """Submit the task once for each item of its iterable arguments.

        Args:
            *args: iterables of one length are passed item by item; `unmapped(...)` and other values go to each item.
            return_state: wait, and return the states instead of futures.
            wait_for: futures that each item waits for.
            **kwargs: as args.

        Raises:
            MappingError: there is no iterable, or their lengths differ.
            OptionError: an option was given that only Prefect has.
            ParameterError: the arguments do not match the function.
        """
        if "deferred" in kwargs and "deferred" not in self.signature.parameters:
            raise OptionError("map() has no option 'deferred': there is no task queue; use map() in a flow")
        return current_backend().map(self, Call(args, kwargs, wait_for, return_state))

    def with_options(self, **keywords: Unpack[TaskKeywords]) -> Self:
        """Return a copy of the task with some options changed.

        Args:
            **keywords: the options to change, of `TaskKeywords`.

        Raises:
            OptionError: an option does not exist, or its value is invalid.
        """
        return type(self)(self.fn, self._read_options(keywords), self._origin)

    def on_commit(self, hook: HookT) -> HookT:
        """Register a hook that is called when the transaction of a completed run commits. A decorator."""
        return self._add_hook("on_commit", hook)

    def on_rollback(self, hook: HookT) -> HookT:
        """Register a hook that is called when the transaction of a completed run is rolled back. A decorator."""
        return self._add_hook("on_rollback", hook)

    def _read_options(self, keywords: Mapping[str, Any]) -> TaskOptions:
        return read_task_options(self.fn, cast("TaskKeywords", keywords), self.options)

    def __get__(self, instance: object | None, owner: type | None = None) -> Task[..., R]:
        """Bind the task to an instance or a class, as Python does with functions."""
        bound = self.bound_function(instance, owner)
        return self if bound is None else type(self)(bound, self.options, bound)

    def __repr__(self) -> str:
        """Return the task's name."""
        return f"Task({self.name!r})"


class AsyncTask(Task[P, R]):
    """A coroutine function whose calls are task runs: `await task(...)`, but `task.submit(...)` without await."""

    @overload  # type: ignore[override]  # a coroutine function does not replace a function
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, State[R]]: ...
    @overload
    def __call__(
        self, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, first: Pending, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, first: Any, second: Pending, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, **kwargs: Pending) -> Coroutine[Any, Any, R]: ...

    def __call__(self, *args: Any, return_state: Any = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Run the task on the event loop of the caller; otherwise as `Task.__call__`."""
        return current_backend().call_task(self, Call(args, kwargs, wait_for, return_state))


class GeneratorTask(Task[P, list[R]]):
    """A generator function whose calls are task runs. A call yields elements; when submitted, the result is a list."""

    @overload  # type: ignore[override]  # a generator does not replace a list
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> State[list[R]]: ...
    @overload
    def __call__(
        self, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any
    ) -> Iterator[R]: ...
    @overload
    def __call__(self, first: Pending, /, *args: Any, **kwargs: Any) -> Iterator[R]: ...
    @overload
    def __call__(self, first: Any, second: Pending, /, *args: Any, **kwargs: Any) -> Iterator[R]: ...
    @overload
    def __call__(self, **kwargs: Pending) -> Iterator[R]: ...

    def __call__(self, *args: Any, return_state: Any = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Yield what the function yields; otherwise as `Task.__call__`."""
        return current_backend().call_task(self, Call(args, kwargs, wait_for, return_state))


class AsyncGeneratorTask(Task[P, list[R]]):
    """An asynchronous generator function whose calls are task runs: `async for each in task(...)`."""

    @overload  # type: ignore[override]  # a generator does not replace a list
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, State[list[R]]]: ...
    @overload
    def __call__(
        self, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any
    ) -> AsyncIterator[R]: ...
    @overload
    def __call__(self, first: Pending, /, *args: Any, **kwargs: Any) -> AsyncIterator[R]: ...
    @overload
    def __call__(self, first: Any, second: Pending, /, *args: Any, **kwargs: Any) -> AsyncIterator[R]: ...
    @overload
    def __call__(self, **kwargs: Pending) -> AsyncIterator[R]: ...

    def __call__(self, *args: Any, return_state: Any = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Yield what the function yields; otherwise as `Task.__call__`."""
        return current_backend().call_task(self, Call(args, kwargs, wait_for, return_state))


def _wait_for_state(future: Future[R]) -> State[R]:
    future.wait()
    return future.state


class _Decorator:
    """The decorator that `@task(...)` returns."""

    def __init__(self, keywords: TaskKeywords) -> None:
        self._keywords = keywords

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, Iterator[T]], /) -> GeneratorTask[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, AsyncIterator[T]], /) -> AsyncGeneratorTask[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, T], /) -> Task[P, T]: ...

    def __call__(self, fn: Any, /) -> Any:
        return _decorate(fn, self._keywords)


@overload
def task(fn: Callable[P, Coroutine[Any, Any, T]], /, **keywords: Unpack[TaskKeywords]) -> AsyncTask[P, T]: ...
@overload
def task(fn: Callable[P, Iterator[T]], /, **keywords: Unpack[TaskKeywords]) -> GeneratorTask[P, T]: ...
@overload
def task(fn: Callable[P, AsyncIterator[T]], /, **keywords: Unpack[TaskKeywords]) -> AsyncGeneratorTask[P, T]: ...
@overload
def task(fn: Callable[P, T], /, **keywords: Unpack[TaskKeywords]) -> Task[P, T]: ...
@overload
def task(fn: None = None, /, **keywords: Unpack[TaskKeywords]) -> _Decorator: ...


def task(fn: Any = None, /, **keywords: Unpack[TaskKeywords]) -> Any:
    """Turn a function into a task: `@task`, or with options, `@task(retries=3)`.

    Args:
        fn: the function: sync or async, a generator, a method, a class method or a static method.
        **keywords: the options, of `TaskKeywords`. docs/python.md describes each.

    Raises:
        OptionError: an option does not exist, or its value is invalid.
    """
    return _Decorator(keywords) if fn is None else _decorate(fn, keywords)


def _decorate(fn: Any, keywords: TaskKeywords) -> Task[..., Any]:
    raw = fn.__func__ if isinstance(fn, classmethod | staticmethod) else fn
    made = Task[..., Any](fn, read_task_options(raw, keywords))
    if made.is_generator:
        if made.is_async:
            return AsyncGeneratorTask[..., Any](fn, made.options)
        return GeneratorTask[..., Any](fn, made.options)
    return AsyncTask[..., Any](fn, made.options) if made.is_async else made
