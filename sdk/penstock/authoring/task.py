"""Tasks: functions whose calls are runs, with states, retries, caches and hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from penstock.authoring.backend import Call, backend
from penstock.authoring.function import Decorated
from penstock.authoring.futures import Future, FutureList
from penstock.authoring.option_reader import read_task_options
from penstock.authoring.options import Hook, TaskKeywords, TaskOptions
from penstock.authoring.states import State
from penstock.authoring.upstream import Pending
from penstock.errors import NotOfferedError, OptionError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
HookT = TypeVar("HookT", bound=Callable[..., Any])

_NO_QUEUE: Final = "penstock has no task queue outside of flows: put the task into a flow and run that"


class Task(Decorated[TaskOptions], Generic[P, R]):
    """A function whose calls are task runs. Made by `@task`.

    Args:
        fn: the function.
        options: the task's options.
        origin: what stood in the class, if the function was a method.
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
        """Run the task here and now.

        Args:
            *args: the function's arguments; futures among them are waited for and replaced by their results.
            return_state: return the state instead of the result, and don't raise if the task fails.
            wait_for: futures to wait for, besides those among the arguments.
            **kwargs: as args.

        Raises:
            ParameterError: the function does not take the arguments.
            UpstreamFailedError: what the task needs did not complete.
            Exception: the function's own, after the last attempt.
        """
        return backend().call_task(self, Call(args, kwargs, wait_for, return_state))

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
        """Have the task run beside the caller: in a thread, or on an event loop if it is a coroutine function.

        Args:
            *args: the function's arguments; the task starts when the futures among them are done.
            return_state: wait, and return the state.
            wait_for: futures to wait for, besides those among the arguments.
            **kwargs: as args.

        Raises:
            ParameterError: the function does not take the arguments.
        """
        future = backend().submit(self, Call(args, kwargs, wait_for))
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
            *args: iterables of one length go item by item; what is `unmapped(...)` or not iterable goes to every item.
            return_state: wait, and return the states.
            wait_for: futures that every item waits for.
            **kwargs: as args.

        Raises:
            MappingError: the arguments don't make items.
            OptionError: an option was given that only Prefect has.
            ParameterError: the function does not take the arguments.
        """
        if "deferred" in kwargs and "deferred" not in self.signature.parameters:
            raise OptionError("map() has no option 'deferred': penstock has no task queue; map inside of a flow")
        return backend().map(self, Call(args, kwargs, wait_for, return_state))

    def with_options(self, **keywords: Unpack[TaskKeywords]) -> Self:
        """Return a task of the same function, with some options changed.

        Raises:
            OptionError: an option does not exist or can't be.
        """
        return type(self)(self.fn, read_task_options(self.fn, keywords, self.options), self._origin)

    def on_running(self, hook: HookT) -> HookT:
        """Have a function called when an attempt starts. A decorator."""
        return self._add("on_running", hook)

    def on_completion(self, hook: HookT) -> HookT:
        """Have a function called when a run completes. A decorator."""
        return self._add("on_completion", hook)

    def on_failure(self, hook: HookT) -> HookT:
        """Have a function called when a run has failed for good. A decorator."""
        return self._add("on_failure", hook)

    def on_commit(self, hook: HookT) -> HookT:
        """Have a function called when the transaction around a completed run commits. A decorator."""
        return self._add("on_commit", hook)

    def on_rollback(self, hook: HookT) -> HookT:
        """Have a function called when the transaction around a completed run is rolled back. A decorator."""
        return self._add("on_rollback", hook)

    def _add(self, moment: str, hook: HookT) -> HookT:
        hooks: tuple[Hook, ...] = (*getattr(self.options, moment), hook)
        self.options = read_task_options(self.fn, cast("TaskKeywords", {moment: hooks}), self.options)
        return hook

    def __get__(self, instance: object | None, owner: type | None = None) -> Task[..., R]:
        """Bind the task to an instance or a class, as Python does with functions."""
        bound = self.bound_function(instance, owner)
        return self if bound is None else type(self)(bound, self.options, bound)

    def delay(self, *_: Any, **__: Any) -> Any:
        """Say that there is no queue of tasks.

        Raises:
            NotOfferedError: always.
        """
        raise NotOfferedError(f"{self.name}.delay(): {_NO_QUEUE}")

    apply_async = serve = delay

    def __repr__(self) -> str:
        """Return the task's name."""
        return f"Task({self.name!r})"


class AsyncTask(Task[P, R]):
    """A coroutine function whose calls are task runs: `await task(...)`, but `task.submit(...)` without await."""

    @overload  # type: ignore[override]  # a coroutine function can't stand for a function
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
        """Run the task on the caller's event loop; otherwise as `Task.__call__`."""
        return backend().call_task(self, Call(args, kwargs, wait_for, return_state))


class GeneratorTask(Task[P, list[R]]):
    """A generator function whose calls are task runs: called, it yields; submitted, its result is a list."""

    @overload  # type: ignore[override]  # what yields can't stand for what returns a list
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
        return backend().call_task(self, Call(args, kwargs, wait_for, return_state))


class AsyncGeneratorTask(Task[P, list[R]]):
    """An asynchronous generator function whose calls are task runs: `async for each in task(...)`."""

    @overload  # type: ignore[override]  # what yields can't stand for what returns a list
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
        return backend().call_task(self, Call(args, kwargs, wait_for, return_state))


def _wait_for_state(future: Future[R]) -> State[R]:
    future.wait()
    return future.state


class _Decorator:
    """What `@task(...)` is until it gets its function."""

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
    """Make a task of a function: `@task`, or `@task(retries=3)` and so on.

    Args:
        fn: the function: sync or async, a generator, a method, a class method or a static method.
        **keywords: the options, of `TaskKeywords`. docs/python.md says what each does.

    Raises:
        OptionError: an option does not exist or can't be.
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
