"""Flows: functions whose calls are runs, inside of which tasks run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from penstock.authoring.backend import Call, backend
from penstock.authoring.function import Decorated
from penstock.authoring.option_reader import read_flow_options
from penstock.authoring.options import FlowKeywords, FlowOptions, Hook
from penstock.authoring.script import take_resume_argument
from penstock.authoring.states import State
from penstock.authoring.upstream import Pending
from penstock.errors import NotOfferedError, OptionError

if TYPE_CHECKING:
    from penstock.authoring.cluster import FlowDeployKeywords
    from penstock.authoring.deployment import Deployment, DeploymentKeywords

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
HookT = TypeVar("HookT", bound=Callable[..., Any])

_NOT_OFFERED: Final = {
    "adeploy": "call deploy(); in a coroutine by asyncio.to_thread(flow.deploy, ...)",
    "aserve": "call serve() outside of an event loop, in a program of its own",
    "ato_deployment": "call to_deployment(), which waits for nothing",
    "from_source": "import the module that has the flow",
    "visualize": "leave it out: flows are not drawn by calling their functions",
    "submit": "submit tasks; call a flow inside of a task to run it beside others",
    "map": "map tasks; call a flow inside of a task to run it beside others",
}


class Flow(Decorated[FlowOptions], Generic[P, R]):
    """A function whose calls are flow runs. Made by `@flow`.

    Args:
        fn: the function.
        options: the flow's options.
        origin: what stood in the class, if the function was a method.

    Raises:
        OptionError: the function is a generator.
    """

    def __init__(self, fn: Any, options: FlowOptions, origin: Any = None) -> None:
        super().__init__(fn, options.name, options, origin)
        if self.is_generator:
            raise OptionError(f"flow {self.name!r} is a generator: return a list, or make it a task")

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
        """Run the flow here and now.

        Args:
            *args: the function's arguments; futures among them are waited for and replaced by their results.
            return_state: return the state instead of the result, and don't raise if the flow fails.
            wait_for: futures to wait for, besides those among the arguments.
            **kwargs: as args.

        Raises:
            ParameterError: the function does not take the arguments, or their types are wrong.
            UpstreamFailedError: what the flow needs did not complete.
            Exception: the function's own, after the last attempt.
        """
        return backend().call_flow(self, Call(args, kwargs, wait_for, return_state))

    def with_options(self, **keywords: Unpack[FlowKeywords]) -> Self:
        """Return a flow of the same function, with some options changed.

        Raises:
            OptionError: an option does not exist or can't be.
        """
        return type(self)(self.fn, read_flow_options(self.fn, keywords, self.options), self._origin)

    def to_deployment(self, name: str | None = None, **keywords: Unpack[DeploymentKeywords]) -> Deployment:
        """Say when the flow is due and with which parameters: for `serve()`.

        Args:
            name: name of the deployment; that of the flow if not given.
            **keywords: the options, of `DeploymentKeywords`. docs/python.md says what each does.

        Raises:
            OptionError: an option does not exist or can't be.
        """
        from penstock.authoring.deployment import read_deployment  # noqa: PLC0415 - most flows are not deployed here

        return read_deployment(self, name, keywords)

    def serve(
        self,
        name: str | None = None,
        *,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        **keywords: Unpack[DeploymentKeywords],
    ) -> None:
        """Run the flow whenever it is due, each run in a process of its own, until Ctrl-C or SIGTERM.

        Args:
            name: as of `to_deployment`.
            pause_on_shutdown: forget what is missed while this does not run; else it is made up for by `on_missed`.
            print_starting_message: say what is served.
            **keywords: as of `to_deployment`.

        Raises:
            OptionError: an option does not exist or can't be, or the flow can't be served.
        """
        from penstock.authoring.deployment import serve  # noqa: PLC0415 - most flows are not deployed here

        serve(
            self.to_deployment(name, **keywords),
            pause_on_shutdown=pause_on_shutdown,
            print_starting_message=print_starting_message,
        )

    def deploy(self, name: str | None = None, **keywords: Unpack[FlowDeployKeywords]) -> str:
        """Put the flow into a cluster, with its schedules.

        Args:
            name: name of the Flow; that of the flow if not given.
            **keywords: those of `to_deployment`, and of `penstock.deploy`: image, inline, source, namespace, ...

        Returns:
            The name of the Flow.

        Raises:
            OptionError: an option does not exist or can't be.
            CompileError: the flow can't be compiled.
            CommandError: the cluster can't be reached, or refused something.
        """
        from penstock.authoring.cluster import DeployKeywords, deploy  # noqa: PLC0415 - most flows are not deployed here

        where = {key: value for key, value in keywords.items() if key in DeployKeywords.__annotations__}
        what = {key: value for key, value in keywords.items() if key not in where}
        deployment = self.to_deployment(name, **cast("DeploymentKeywords", what))
        return deploy(deployment, **cast("DeployKeywords", where))[0]

    def on_running(self, hook: HookT) -> HookT:
        """Have a function called when an attempt starts. A decorator."""
        return self._add("on_running", hook)

    def on_completion(self, hook: HookT) -> HookT:
        """Have a function called when a run completes. A decorator."""
        return self._add("on_completion", hook)

    def on_failure(self, hook: HookT) -> HookT:
        """Have a function called when a run has failed for good. A decorator."""
        return self._add("on_failure", hook)

    def on_crashed(self, hook: HookT) -> HookT:
        """Have a function called when a run crashes. A decorator."""
        return self._add("on_crashed", hook)

    def on_cancellation(self, hook: HookT) -> HookT:
        """Have a function called when a run is cancelled. A decorator."""
        return self._add("on_cancellation", hook)

    def _add(self, moment: str, hook: HookT) -> HookT:
        hooks: tuple[Hook, ...] = (*getattr(self.options, moment), hook)
        self.options = read_flow_options(self.fn, cast("FlowKeywords", {moment: hooks}), self.options)
        return hook

    def __get__(self, instance: object | None, owner: type | None = None) -> Flow[..., R]:
        """Bind the flow to an instance or a class, as Python does with functions."""
        bound = self.bound_function(instance, owner)
        return self if bound is None else type(self)(bound, self.options, bound)

    def __getattr__(self, name: str) -> Any:
        """Say what to use instead of what other systems have."""
        if name in _NOT_OFFERED:
            raise NotOfferedError(f"flows have no {name}(): {_NOT_OFFERED[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        """Return the flow's name."""
        return f"Flow({self.name!r})"


class AsyncFlow(Flow[P, R]):
    """A coroutine function whose calls are flow runs: `await flow(...)`."""

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
        """Run the flow on the caller's event loop; otherwise as `Flow.__call__`."""
        return backend().call_flow(self, Call(args, kwargs, wait_for, return_state))


class _Decorator:
    """What `@flow(...)` is until it gets its function."""

    def __init__(self, keywords: FlowKeywords) -> None:
        self._keywords = keywords

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncFlow[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, T], /) -> Flow[P, T]: ...

    def __call__(self, fn: Any, /) -> Any:
        return _decorate(fn, self._keywords)


@overload
def flow(fn: Callable[P, Coroutine[Any, Any, T]], /, **keywords: Unpack[FlowKeywords]) -> AsyncFlow[P, T]: ...
@overload
def flow(fn: Callable[P, T], /, **keywords: Unpack[FlowKeywords]) -> Flow[P, T]: ...
@overload
def flow(fn: None = None, /, **keywords: Unpack[FlowKeywords]) -> _Decorator: ...


def flow(fn: Any = None, /, **keywords: Unpack[FlowKeywords]) -> Any:
    """Make a flow of a function: `@flow`, or `@flow(retries=3)` and so on.

    Args:
        fn: the function: sync or async, a method, a class method or a static method.
        **keywords: the options, of `FlowKeywords`. docs/python.md says what each does.

    Raises:
        OptionError: an option does not exist or can't be.
    """
    return _Decorator(keywords) if fn is None else _decorate(fn, keywords)


def _decorate(fn: Any, keywords: FlowKeywords) -> Flow[..., Any]:
    raw = fn.__func__ if isinstance(fn, classmethod | staticmethod) else fn
    made = Flow[..., Any](fn, read_flow_options(raw, keywords))
    take_resume_argument(made.fn)
    return AsyncFlow[..., Any](fn, made.options) if made.is_async else made
