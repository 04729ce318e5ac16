"""Tracing: the flow's function is called once, with symbols for what is not known, and each call becomes a node."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

from penstock.authoring.backend import Call, in_place
from penstock.authoring.compilation.arguments import Encoder
from penstock.authoring.compilation.expressed import express
from penstock.authoring.compilation.fan_out import fan_out
from penstock.authoring.compilation.node import Node, Scope
from penstock.authoring.compilation.params import FlowParam, read_params
from penstock.authoring.compilation.place import Place, handler_around, here, of_error
from penstock.authoring.compilation.symbols import (
    ADVICE,
    ParamSymbol,
    ResultSymbol,
    Symbol,
    TracedFuture,
    TracedFutures,
    TracedState,
    TracedStates,
)
from penstock.authoring.context import FLOW_LOGGER
from penstock.authoring.flow import Flow
from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.runs import FLOW_RUN, FlowRun
from penstock.authoring.states import Running
from penstock.authoring.task import Task
from penstock.authoring.transactions import TRANSACTION

if TYPE_CHECKING:
    from pathlib import Path

MAX_NAME: Final = 63


class CompileWarning(UserWarning):
    """What a flow's function does besides calling tasks, and that its runs don't do."""


class RunSymbol(Symbol):
    """Something about the run.

    Args:
        told: what it is.
        expression: an expression for it.
    """

    __slots__ = ("expression",)

    def __init__(self, told: str, expression: str) -> None:
        super().__init__(told)
        self.expression = expression

    def at(self, step: Any) -> NoReturn:
        """Refuse: it has no parts."""
        raise here().refuse(f"{self.told} has no [{step!r}]", "hand it to a task as it is")


SYMBOLS: Final = (ParamSymbol, ResultSymbol, RunSymbol, TracedFuture, TracedFutures, TracedState, TracedStates)


class Trace:
    """What a flow's function calls.

    Args:
        flow: the flow.
        place: where it stands.
        is_storage_of_run: whether results that are stored go with the run.
    """

    def __init__(self, flow: FlowFunction, place: Place, *, is_storage_of_run: bool = False) -> None:
        self.flow = flow
        self.place = place
        self.params: dict[str, FlowParam] = read_params(flow, place)
        self.scope = Scope(self.params, is_storage_of_run=is_storage_of_run)
        self.nodes: list[Node] = []
        self.returned: Any = None
        self._names: set[str] = set()

    def run(self) -> None:
        """Call the flow's function.

        Raises:
            CompileError: it needs to know what only a run knows.
            Exception: the function's own.
        """
        symbols: dict[str, Any] = {
            name: ParamSymbol(name, expression=param.expression, is_list=param.is_list)
            for name, param in self.params.items()
        }
        args, kwargs = self.flow.arguments(symbols)
        token = FLOW_RUN.set(_TracedRun(self.flow))
        try:
            with in_place(TracingBackend(self)), _told_at_compilation():
                self.returned = self._call(args, kwargs)
        except TypeError as error:
            if any(each.__name__ in str(error) for each in SYMBOLS):
                # A function of Python's or of a library wanted a value.
                place = of_error(error) or self.place
                raise place.refuse(
                    f"a value is wanted that is known only when the flow runs ({error})", ADVICE
                ) from error
            raise
        finally:
            FLOW_RUN.reset(token)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        returned = self.flow.fn(*args, **kwargs)
        if not self.flow.is_async:
            return returned
        import asyncio  # noqa: PLC0415 - flows without coroutines don't pay for it

        return asyncio.run(returned)

    def add(self, wanted: str, **what: Any) -> Node:
        """Add a node, with a name of its own."""
        place = here()
        if (line := handler_around(place)) is not None:
            raise place.refuse(
                f"{wanted!r} is called inside the `try` of line {line}, which never sees how it ends in a Pod",
                "hand allow_failure(future) to a task that deals with the failure, call it with return_state=True, or"
                " use @flow(run_as='pod')",
            )
        if TRANSACTION.get() is not None:
            raise place.refuse(
                f"{wanted!r} is called inside `with transaction()`, which Pods have no part in",
                "use @flow(run_as='pod'), or tasks with allow_failure that undo",
            )
        node = Node(self.scope, name=self.unique(label(wanted)), place=place, **what)
        self.nodes.append(node)
        return node

    def unique(self, name: str) -> str:
        """Return a task's name that no other has."""
        unique, number = name, 1
        while unique in self._names:
            number += 1
            end = f"-{number}"
            unique = name[: MAX_NAME - len(end)] + end
        self._names.add(unique)
        return unique


class TracingBackend:
    """Takes down calls instead of carrying them out.

    Args:
        trace: takes up the nodes.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def call_flow(self, flow: FlowFunction, call: Call) -> Any:
        """Take down the call of a flow inside of the flow."""
        return self._call(self._record(flow, call), call, is_async=flow.is_async)

    def call_task(self, task: TaskFunction, call: Call) -> Any:
        """Take down the call of a task, which all that follows waits for."""
        if task.is_async:
            return self._call_async(task, call)
        return self._call(self._record(task, call), call, is_async=False)

    def submit(self, task: TaskFunction, call: Call) -> Any:
        """Take down a task that runs beside what follows."""
        return TracedFuture(self._record(task, call))

    def map(self, task: TaskFunction, call: Call) -> Any:
        """Take down a task that runs for each item."""
        node = self._trace.add(task.options.name, task=task)
        node.fan_out, node.arguments = fan_out(node, task, call.args, call.kwargs)
        _wait_for(node, call.wait_for)
        if not call.return_state:
            return TracedFutures(node)
        node.wait_for_end()
        return TracedStates(node)

    def pause(self, run: FlowRun, kind: Any, *, timeout_s: float, key: str | None, message: str | None) -> Any:
        """Take down a pause as an approval."""
        if kind is not None:
            raise here().refuse(
                "pause_flow_run(wait_for_input=...) asks for a value, but people say yes or no to a run in the cluster",
                "leave it out and make the value a param of the flow",
            )
        node = self._trace.add(
            key or "approval", approval={"message": message or f"Go on with {run.flow_name}?", "timeout": timeout_s}
        )
        node.wait_for_success()

    def folder(self) -> Path:
        """Refuse: the flow's function makes nothing in a run.

        Raises:
            CompileError: always.
        """
        raise here().refuse("an artifact would be made when the flow is compiled, not by its runs", "make it in a task")

    async def _call_async(self, task: TaskFunction, call: Call) -> Any:
        import asyncio  # noqa: PLC0415 - who awaits has it

        node = self._record(task, call)
        # What was gathered with it is called before any of it is waited for.
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

    def _record(self, called: TaskFunction | FlowFunction, call: Call) -> Node:
        what = {"task" if isinstance(called, Task) else "flow": called}
        node = self._trace.add(called.options.name, **what)
        bound = node.bind(call.args, call.kwargs)
        if isinstance(called, Flow) and called.options.run_as != "pod":
            node.params = {
                name: _child_param(node, called, name, value) for name, value in bound.items() if value is not None
            }
        else:
            encoder = Encoder(node)
            node.arguments = {name: encoder.encode(value) for name, value in bound.items()}
        _wait_for(node, call.wait_for)
        return node


def _wait_for(node: Node, upstream: Any) -> None:
    if upstream is None:
        return
    encoder = Encoder(node)
    kept = list(node.slots.expressions)
    encoder.encode(upstream if isinstance(upstream, TracedFutures | TracedStates | TracedFuture) else list(upstream))
    # It waits for them, but wants to know nothing of them.
    node.slots.expressions = kept


def _child_param(node: Node, flow: FlowFunction, name: str, value: Any) -> Any:
    what = f"the param {name!r} of flow {flow.name!r}"

    def want(upstream: Node) -> None:
        node.depend(upstream, is_success_needed=True)
        upstream.plain_for = what

    return express(value, want, node.place, what)


def label(name: str) -> str:
    """Make a task's name of any text: a DNS label that begins with a letter."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    text = text if text[:1].isalpha() else f"task-{text}".strip("-")
    return text[:MAX_NAME].strip("-")


class _TracedRun(FlowRun):
    """Stands for the run while its flow is traced."""

    __slots__ = ()

    def __init__(self, flow: FlowFunction) -> None:
        self.flow = flow
        self.state = Running()
        self.name: Any = RunSymbol("the name of the run", "run.name")
        self.id: Any = RunSymbol("the id of the run", "run.uid")
        self.parent = None

    def __getattr__(self, name: str) -> NoReturn:
        raise here().refuse(f".{name} of the run is known only when the flow runs", "ask for it in a task")


class _Printed(io.TextIOBase):
    """Takes what the flow's function prints, and warns."""

    def write(self, text: str) -> int:
        if text.strip():
            _warn("prints", "print in a task")
        return len(text)


def _warn(what: str, advice: str) -> None:
    warnings.warn(f"{here()}: the flow {what}, which its runs in a cluster don't do: {advice}", CompileWarning, 2)


@contextlib.contextmanager
def _told_at_compilation() -> Iterator[None]:
    """Warn of what the function tells while it is traced, for nobody hears it when the flow runs."""

    def warn(_: logging.LogRecord) -> bool:
        _warn("logs", "log in a task")
        return False

    FLOW_LOGGER.addFilter(warn)
    level = FLOW_LOGGER.level
    FLOW_LOGGER.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(_Printed()):
            yield
    finally:
        FLOW_LOGGER.setLevel(level)
        FLOW_LOGGER.removeFilter(warn)
