"""Flows: functions whose calls are flow runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from penstock.authoring.arguments.argument_futures import Pending
from penstock.authoring.backend import Call, current_backend
from penstock.authoring.function import Decorated, HookT
from penstock.authoring.options.option_reader import read_flow_options
from penstock.authoring.options.options import FlowKeywords, FlowOptions
from penstock.authoring.prefect.not_offered import refuse_methods
from penstock.authoring.prefect.prefect_names import METHODS_OF_FLOWS
from penstock.authoring.resume_argument import take_resume_argument
from penstock.authoring.runs.states import State
from penstock.errors import NotOfferedError

if TYPE_CHECKING:
    from penstock.authoring.arguments.parameter_schema import ParameterSchema
    from penstock.authoring.deployments.cluster import FlowDeployKeywords
    from penstock.authoring.deployments.deployment import Deployment, DeploymentKeywords

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@refuse_methods("flows", METHODS_OF_FLOWS)
class Flow(Decorated[FlowOptions], Generic[P, R]):
    """A function whose calls are flow runs, created by `@flow`.

    Args:
        fn: the function.
        options: the flow's options.
        origin: the function as found in its class, if it is a method.
    """

    def __init__(self, fn: Any, options: FlowOptions, origin: Any = None) -> None:
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
        """Run the flow in this process, and return its result.

        Args:
            *args: arguments of the function; futures among them are waited for and replaced by their results.
            return_state: return the state instead of the result, and do not raise if the flow fails.
            wait_for: futures to wait for in addition to those among the arguments.
            **kwargs: as args.

        Raises:
            ParameterError: the arguments do not match the function, or have wrong types.
            UpstreamFailedError: a task that the flow depends on did not complete.
            Exception: the exception of the function, after the last attempt.
        """
        return current_backend().call_flow(self, Call(args, kwargs, wait_for, return_state))

    def with_options(self, **keywords: Unpack[FlowKeywords]) -> Self:
        """Return a copy of the flow with some options changed.

        Args:
            **keywords: the options to change, of `FlowKeywords`.

        Raises:
            OptionError: an option does not exist, or its value is invalid.
        """
        return type(self)(self.fn, self._read_options(keywords), self._origin)

    def to_deployment(self, name: str | None = None, **keywords: Unpack[DeploymentKeywords]) -> Deployment:
        """Return a deployment: the flow with schedules and parameters, for `serve(...)` and `deploy(...)`.

        Args:
            name: name of the deployment; defaults to the name of the flow.
            **keywords: the options, of `DeploymentKeywords`. docs/python.md describes each.

        Raises:
            OptionError: an option does not exist, or its value is invalid.
        """
        from penstock.authoring.deployments.deployment import read_deployment  # noqa: PLC0415 - most flows are not deployed here

        return read_deployment(self, name, keywords)

    def serve(
        self,
        name: str | None = None,
        *,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        **keywords: Unpack[DeploymentKeywords],
    ) -> None:
        """Run the flow on its schedules, each run in its own process, until Ctrl-C or SIGTERM.

        Args:
            name: as for `to_deployment`.
            pause_on_shutdown: ignore ticks that are missed while this process is not running; false applies
                `on_missed`.
            print_starting_message: log which deployments are served.
            **keywords: as for `to_deployment`.

        Raises:
            OptionError: an option does not exist or is invalid, or the flow cannot be served.
        """
        from penstock.authoring.deployments.deployment import serve  # noqa: PLC0415 - most flows are not deployed here

        serve(
            self.to_deployment(name, **keywords),
            pause_on_shutdown=pause_on_shutdown,
            print_starting_message=print_starting_message,
        )

    def deploy(self, name: str | None = None, **keywords: Unpack[FlowDeployKeywords]) -> str:
        """Deploy the flow with its schedules to a cluster.

        Args:
            name: name of the Flow; defaults to the name of the flow.
            **keywords: those of `to_deployment` and of `penstock.deploy`: image, inline, source, namespace, ...

        Returns:
            The name of the Flow.

        Raises:
            OptionError: an option does not exist, or its value is invalid.
            CompileError: the flow cannot be compiled.
            CommandError: the cluster cannot be reached, or refused a request.
        """
        from penstock.authoring.deployments.cluster import DeployKeywords, deploy  # noqa: PLC0415 - most flows are not deployed here

        where = {key: value for key, value in keywords.items() if key in DeployKeywords.__annotations__}
        what = {key: value for key, value in keywords.items() if key not in where}
        deployment = self.to_deployment(name, **cast("DeploymentKeywords", what))
        return deploy(deployment, **cast("DeployKeywords", where))[0]

    @property
    def parameters(self) -> ParameterSchema:
        """The JSON schema of its parameters."""
        from penstock.authoring.arguments.parameter_schema import parameter_schema  # noqa: PLC0415 - rarely asked for

        return parameter_schema(self.fn, self.signature)

    def on_crashed(self, hook: HookT) -> HookT:
        """Register a hook that is called when a run crashes. A decorator."""
        return self._add_hook("on_crashed", hook)

    def on_cancellation(self, hook: HookT) -> HookT:
        """Register a hook that is called when a run is cancelled. A decorator."""
        return self._add_hook("on_cancellation", hook)

    def _read_options(self, keywords: Mapping[str, Any]) -> FlowOptions:
        return read_flow_options(self.fn, cast("FlowKeywords", keywords), self.options)

    def __get__(self, instance: object | None, owner: type | None = None) -> Flow[..., R]:
        """Bind the flow to an instance or a class, as Python does with functions."""
        bound = self.bound_function(instance, owner)
        return self if bound is None else type(self)(bound, self.options, bound)

    def __repr__(self) -> str:
        """Return the flow's name."""
        return f"Flow({self.name!r})"


class AsyncFlow(Flow[P, R]):
    """A coroutine function whose calls are flow runs: `await flow(...)`."""

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
        """Run the flow on the event loop of the caller; otherwise as `Flow.__call__`."""
        return current_backend().call_flow(self, Call(args, kwargs, wait_for, return_state))


class GeneratorFlow(Flow[P, list[R]]):
    """A generator function whose calls are flow runs: `for each in flow(...)`. With `return_state`, data is a list."""

    @overload  # type: ignore[override]  # a generator does not replace a list
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> State[list[R]]: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Iterator[R]: ...

    def __call__(self, *args: Any, return_state: Any = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Yield what the function yields; otherwise as `Flow.__call__`."""
        return current_backend().call_flow(self, Call(args, kwargs, wait_for, return_state))


class AsyncGeneratorFlow(Flow[P, list[R]]):
    """An asynchronous generator function whose calls are flow runs: `async for each in flow(...)`."""

    @overload  # type: ignore[override]  # a generator does not replace a list
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, State[list[R]]]: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> AsyncIterator[R]: ...

    def __call__(self, *args: Any, return_state: Any = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Yield what the function yields; otherwise as `Flow.__call__`."""
        return current_backend().call_flow(self, Call(args, kwargs, wait_for, return_state))


class _Decorator:
    """The decorator that `@flow(...)` returns."""

    def __init__(self, keywords: FlowKeywords) -> None:
        self._keywords = keywords

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncFlow[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, Iterator[T]], /) -> GeneratorFlow[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, AsyncIterator[T]], /) -> AsyncGeneratorFlow[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, T], /) -> Flow[P, T]: ...

    def __call__(self, fn: Any, /) -> Any:
        return _decorate(fn, self._keywords)


@overload
def flow(fn: Callable[P, Coroutine[Any, Any, T]], /, **keywords: Unpack[FlowKeywords]) -> AsyncFlow[P, T]: ...
@overload
def flow(fn: Callable[P, Iterator[T]], /, **keywords: Unpack[FlowKeywords]) -> GeneratorFlow[P, T]: ...
@overload
def flow(fn: Callable[P, AsyncIterator[T]], /, **keywords: Unpack[FlowKeywords]) -> AsyncGeneratorFlow[P, T]: ...
@overload
def flow(fn: Callable[P, T], /, **keywords: Unpack[FlowKeywords]) -> Flow[P, T]: ...
@overload
def flow(fn: None = None, /, **keywords: Unpack[FlowKeywords]) -> _Decorator: ...


def flow(fn: Any = None, /, **keywords: Unpack[FlowKeywords]) -> Any:
    """Turn a function into a flow: `@flow`, or with options, `@flow(retries=3)`.

    Args:
        fn: the function: sync or async, a method, a class method or a static method.
        **keywords: the options, of `FlowKeywords`. docs/python.md describes each.

    Raises:
        OptionError: an option does not exist, or its value is invalid.
    """
    return _Decorator(keywords) if fn is None else _decorate(fn, keywords)


def _decorate(fn: Any, keywords: FlowKeywords) -> Flow[..., Any]:
    raw = fn.__func__ if isinstance(fn, classmethod | staticmethod) else fn
    made = Flow[..., Any](fn, read_flow_options(raw, keywords))
    take_resume_argument(made.fn)
    if made.is_generator:
        if made.is_async:
            return AsyncGeneratorFlow[..., Any](fn, made.options)
        return GeneratorFlow[..., Any](fn, made.options)
    return AsyncFlow[..., Any](fn, made.options) if made.is_async else made


def _refuse_from_source(*_: Any, **__: Any) -> Any:
    raise NotOfferedError(f"flow has no from_source(): {METHODS_OF_FLOWS['from_source']}")


if not TYPE_CHECKING:  # Prefect's decorator has this method
    flow.from_source = flow.afrom_source = _refuse_from_source
