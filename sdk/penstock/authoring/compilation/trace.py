"""Tracing: the function of a flow is called with symbols for unknown values, and each call of a task becomes a node."""

from __future__ import annotations

import copy
import hashlib
import re
import unicodedata
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, NoReturn

from penstock.authoring.arguments.argument_futures import upstream_of
from penstock.authoring.arguments.field_default import default_of, is_field
from penstock.authoring.awaiting import IN_THREADS
from penstock.authoring.backend import Call, replaced_backend
from penstock.authoring.compilation.arguments import Encoder
from penstock.authoring.compilation.fan_out import fan_out
from penstock.authoring.compilation.json_expressions import express_value
from penstock.authoring.compilation.node import Node, Scope
from penstock.authoring.compilation.operations import OperationSymbol, Rewritten
from penstock.authoring.compilation.output import warnings_of_output
from penstock.authoring.compilation.params import FlowParam, read_params
from penstock.authoring.compilation.program.code_location import (
    CodeLocation,
    current_location,
    location_of_error,
)
from penstock.authoring.compilation.program.handlers import Handlers
from penstock.authoring.compilation.program.helper_functions import HelperFunctions
from penstock.authoring.compilation.program.one_pod import is_one_pod
from penstock.authoring.compilation.refusal import Signal, remembered_signals
from penstock.authoring.compilation.symbols import (
    ADVICE,
    ParamSymbol,
    ResultSymbol,
    RunSymbol,
    TracedFuture,
    TracedFutures,
    TracedState,
    TracedStates,
)
from penstock.authoring.flow import Flow
from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.runs.runs import FLOW_RUN, FlowRun
from penstock.authoring.runs.states import Running
from penstock.authoring.task import Task
from penstock.authoring.transactions import TRANSACTION

if TYPE_CHECKING:
    from pathlib import Path

MAX_NAME: Final = 63
HASH_LENGTH: Final = 8


SYMBOLS: Final = (
    ParamSymbol,
    ResultSymbol,
    RunSymbol,
    OperationSymbol,
    TracedFuture,
    TracedFutures,
    TracedState,
    TracedStates,
)


class Trace:
    """The calls of a flow's function.

    Args:
        flow: the flow.
        location: where it stands.
        functions: the functions that run rewritten.
        is_storage_of_run: whether stored results are deleted with the run.
        settled: params that have their defaults, and are not params of the Flow.
    """

    def __init__(
        self,
        flow: FlowFunction,
        location: CodeLocation,
        functions: HelperFunctions,
        *,
        is_storage_of_run: bool = False,
        settled: Collection[str] = (),
    ) -> None:
        self.flow = flow
        self.location = location
        self._functions = functions
        params = read_params(flow, location)
        self.params: dict[str, FlowParam] = {name: each for name, each in params.items() if name not in settled}
        # Copies, because the function may change them.
        self._settled = {name: copy.deepcopy(default_of(flow.signature.parameters[name])) for name in settled}
        self.handlers = Handlers()
        self.scope = Scope(self.params, self.handlers, is_storage_of_run=is_storage_of_run)
        self.nodes: list[Node] = []
        self.returned: Any = None
        self._names: set[str] = set()

    def call_flow_function(self) -> None:
        """Call the function of the flow.

        Raises:
            RefusedError: it needs a value that is known at run time only.
            SettledParamError: it needs a param that has a default.
            Exception: raised by the function.
        """
        symbols = {name: ParamSymbol(param) for name, param in self.params.items()}
        args, kwargs = self.flow.call_arguments({**symbols, **self._settled})
        token, in_threads = FLOW_RUN.set(_TracedRun(self.flow)), IN_THREADS.set(False)
        try:
            with replaced_backend(TracingBackend(self)), remembered_signals() as signals, warnings_of_output():
                self.returned = self._call(args, kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # The function has caught the signal and raised another exception, or a TaskGroup has collected it.
            if signals and signals[0] is not error:
                raise signals[0] from error
            if (refused := self._explained(error)) is not None:
                raise refused from error
            raise
        finally:
            FLOW_RUN.reset(token)
            IN_THREADS.reset(in_threads)
        if signals:
            raise signals[0]

    def _explained(self, error: BaseException) -> Signal | None:
        """Return the refusal for an error of a function of Python or of a library that got a symbol."""
        if not isinstance(error, TypeError) or not any(each.__name__ in str(error) for each in SYMBOLS):
            return None
        location = location_of_error(error) or self.location
        return location.compile_error(f"a value is needed that is known only when the flow runs ({error})", ADVICE)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._functions.rewritten(Rewritten(lambda: len(self.nodes), self._explained)):
            returned = self.flow.fn(*args, **kwargs)
            if not self.flow.is_async:
                return returned
            import asyncio  # noqa: PLC0415 - needed for coroutines only

            async def body() -> Any:
                self.handlers.task = asyncio.current_task()
                return await returned

            return asyncio.run(body())

    def add_node(self, wanted: str, *, location: CodeLocation, **what: Any) -> Node:
        """Add a node with a unique name."""
        self.handlers.refuse(f"{wanted!r} is called", location, called_at=location)
        if TRANSACTION.get() is not None:
            raise location.compile_error(
                f"{wanted!r} is called inside `with transaction()`, which is not supported across Pods",
                "use @flow(run_as='pod'), or undo in tasks that take allow_failure(future)",
            )
        node = Node(self.scope, name=self.unique_name(task_label(wanted)), location=location, **what)
        self.nodes.append(node)
        return node

    def unique_name(self, name: str) -> str:
        """Return a unique name for a task."""
        unique_name, number = name, 1
        while unique_name in self._names:
            number += 1
            end = f"-{number}"
            unique_name = name[: MAX_NAME - len(end)] + end
        self._names.add(unique_name)
        return unique_name


class TracingBackend:
    """Records calls instead of running them.

    Args:
        trace: the trace that gets the nodes.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def call_flow(self, flow: FlowFunction, call: Call) -> Any:
        """Record the call of a flow in the flow."""
        return self._call(self._record(flow, call, current_location()), call, is_async=_is_awaited(flow, call))

    def call_task(self, task: TaskFunction, call: Call) -> Any:
        """Record the call of a task. What follows waits for it."""
        location = current_location()
        if _is_awaited(task, call):
            return self._call_async(task, call, location)
        return self._answer(self._record(task, call, location), call)

    def submit(self, task: TaskFunction, call: Call) -> Any:
        """Record a task that runs concurrently with what follows."""
        return TracedFuture(self._record(task, call, current_location()))

    def map(self, task: TaskFunction, call: Call) -> Any:
        """Record a task that runs for each item."""
        node = self._trace.add_node(task.options.name, location=current_location(), task=task)
        node.fan_out, node.arguments = fan_out(node, task, call.args, call.kwargs)
        _wait_for(node, call.wait_for)
        if not call.return_state:
            return TracedFutures(node)
        node.wait_for_end()
        return TracedStates(node)

    def pause(self, run: FlowRun, kind: Any, *, timeout_s: float, key: str | None, message: str | None) -> Any:
        """Record a pause as an approval."""
        if kind is not None:
            raise current_location().compile_error(
                "pause_flow_run(wait_for_input=...) asks for a value, but a Flow has only approvals",
                "omit it, and make the value a param of the flow",
            )
        node = self._trace.add_node(
            key or "approval",
            location=current_location(),
            approval={"message": message or f"Continue {run.flow_name}?", "timeout": timeout_s},
        )
        node.wait_for_success()

    def folder(self) -> Path:
        """Refuse: the function of the flow does not run in the cluster.

        Raises:
            RefusedError: always.
        """
        self.check_effect("the artifact would be created", "create it in a task")
        raise AssertionError

    def check_limits(self) -> None:
        """Refuse limits: the function of the flow does not run in the cluster.

        Raises:
            RefusedError: always.
        """
        raise current_location().compile_error(
            "limits hold within one process, but each task runs in its own Pod",
            "set `concurrency` on the Flow, or maxParallel on the mapped task",
        )

    def check_effect(self, what: str, advice: str) -> None:
        """Refuse: it would happen once, and not in each run.

        Raises:
            RefusedError: always.
        """
        raise current_location().compile_error(f"{what} when the flow is compiled, not by its runs", advice)

    async def _call_async(self, task: TaskFunction, call: Call, location: CodeLocation) -> Any:
        import asyncio  # noqa: PLC0415 - code that awaits has loaded it

        # The event loop may run this, where the line of the call is not in the stack.
        node = self._record(task, call, location)
        # Coroutines that are gathered are all called before the first of them is awaited.
        await asyncio.sleep(0)
        return self._answer(node, call)

    def _call(self, node: Node, call: Call, *, is_async: bool) -> Any:
        if not is_async:
            return self._answer(node, call)

        async def answer() -> Any:
            return self._answer(node, call)

        return answer()

    def _answer(self, node: Node, call: Call) -> Any:
        if call.return_state:
            node.wait_for_end()
            return TracedState(node)
        node.wait_for_success()
        return ResultSymbol(node)

    def _record(self, called: TaskFunction | FlowFunction, call: Call, location: CodeLocation) -> Node:
        what: dict[str, Any] = {"task" if isinstance(called, Task) else "flow": called}
        node = self._trace.add_node(called.options.name, location=location, **what)
        bound = node.bind_arguments(call.args, call.kwargs)
        if isinstance(called, Flow):
            # The flow has its own defaults.
            bound = {name: value for name, value in bound.items() if not is_field(value)}
        if isinstance(called, Flow) and not is_one_pod(called):
            node.params = {
                name: _child_param(node, called, name, value) for name, value in bound.items() if value is not None
            }
        else:
            encoder = Encoder(node)
            node.arguments = {name: encoder.encode_value(value) for name, value in bound.items()}
        _wait_for(node, call.wait_for)
        return node


def _is_awaited(called: TaskFunction | FlowFunction, call: Call) -> bool:
    """Whether the call gives a coroutine. That of an asynchronous generator gives what `async for` reads."""
    return called.is_async and (not called.is_generator or bool(call.return_state))


def _wait_for(node: Node, upstream: Any) -> None:
    if upstream is None:
        return
    encoder = Encoder(node)
    kept = list(node.slots.expressions)
    # Symbols and traced runs can be passed, but not iterated over.
    is_traced = isinstance(upstream, SYMBOLS)
    encoder.encode_value(upstream if is_traced else upstream_of(upstream))
    # It only waits for them; it does not use their values.
    node.slots.expressions = kept


def _child_param(node: Node, flow: FlowFunction, name: str, value: Any) -> Any:
    what = f"the param {name!r} of flow {flow.name!r}"

    def want(upstream: Node) -> None:
        node.depend_on(upstream, is_success_needed=True)
        upstream.plain_for = what

    return express_value(value, want, node.location, what)


def task_label(name: str) -> str:
    """Return a name for a task or flow from any text: a DNS label that begins with a letter.

    If the label lacks a part of the text, letters of other alphabets or the end of a long name, it ends with a hash of
    the text: other texts have other labels.
    """
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    is_empty = not text
    text = text if text[:1].isalpha() else f"task-{text}".strip("-")
    if not is_empty and len(text) <= MAX_NAME and all(each.isascii() or not each.isalnum() for each in name):
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]
    return f"{text[: MAX_NAME - HASH_LENGTH - 1].strip('-')}-{digest}"


class _TracedRun(FlowRun):
    """The run, while its flow is traced."""

    __slots__ = ()

    def __init__(self, flow: FlowFunction) -> None:
        self.flow = flow
        self.state = Running()
        self.name: Any = RunSymbol("the name of the run", "run.name")
        self.id: Any = RunSymbol("the id of the run", "run.uid")
        self.parent = None

    def __getattr__(self, name: str) -> NoReturn:
        raise current_location().compile_error(
            f".{name} of the run is known only when the flow runs", "read it in a task"
        )
