"""Symbols: placeholders for params and results while a flow is traced.

They can be passed to tasks and returned; `operations` adds arithmetic, comparisons and texts. Any other use needs the
value, so it is refused.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final, NoReturn

from penstock.authoring.awaiting import awaitable
from penstock.authoring.compilation.changes import IMMUTABLE, Changeable, Changes, returned_type, type_asked_for
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.params import FlowParam
from penstock.authoring.compilation.program.code_location import (
    CodeLocation,
    current_location,
    is_flow_function_at_work,
)
from penstock.authoring.compilation.refusal import Signal
from penstock.authoring.runs.futures import Future, FutureList
from penstock.authoring.runs.states import State, StateType

ADVICE: Final = (
    "do it in a task, run the whole flow in one container with @flow(run_as='pod'), or write the Flow as YAML with"
    " a `when`"
)
ITERATED: Final = "is iterated over"
TEXT: Final = "is converted to text"
Step = str | int


class Symbol(Changeable):
    """A value that is known when the flow runs.

    Args:
        description: what it is, for messages: `the param 'day'`.
        path: the keys and indexes that lead to it from there.
    """

    __slots__ = ("changes", "description", "path")

    def __init__(self, description: str, path: tuple[Step, ...] = ()) -> None:
        self.description = description
        self.path = path
        self.changes: Changes = []

    __class__ = property(type_asked_for)  # isinstance() in a library asks for it, too

    def at(self, step: Step) -> Symbol:
        """Return the part at a key or index."""
        raise NotImplementedError

    def __getitem__(self, step: Any) -> Symbol:
        """Return the part at a key or index that is known."""
        if isinstance(step, bool) or not isinstance(step, str | int):
            refuse(self, f"is indexed by [{step!r}]")
        return self.at(step)

    @property
    def is_immutable(self) -> bool:
        """Whether nothing can change the value in place."""
        return False

    def kept(self) -> Symbol:
        """Return a symbol for the value before a change."""
        made = object.__new__(type(self))
        for name in (name for each in type(self).__mro__ for name in getattr(each, "__slots__", ())):
            setattr(made, name, getattr(self, name))
        made.changes = []
        return made

    def mark_changed(self) -> None:
        """Refuse further uses of the value, which `x += y` may have changed in place: only `x` is a new symbol."""
        self.changes.append(current_location().line)

    def __repr__(self) -> str:
        """Refuse the text of the value; the event loop and others that show what they hold get the description."""
        if is_flow_function_at_work():
            refuse(self, TEXT)
        return self.description

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse access to attributes of the value."""
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        refuse(self, f"is read for its attribute .{name}")


class SettledParamError(Signal):
    """A param is needed whose default is known: the flow is compiled with this default, and cannot be given another.

    Args:
        name: name of the param.
        location: where it is needed.
    """

    def __init__(self, name: str, location: CodeLocation) -> None:
        super().__init__(name)
        self.name = name
        self.location = location


class ParamSymbol(Symbol):
    """A param of the flow, or a part of one.

    Args:
        param: the param.
        default: replaces the value of an optional param that is not given, as an expression.
        path: the keys and indexes of the part.
    """

    __slots__ = ("_default", "param")

    def __init__(self, param: FlowParam, *, default: str | None = None, path: tuple[Step, ...] = ()) -> None:
        super().__init__(f"the param {param.name!r}", path)
        self.param = param
        self._default = default

    @property
    def expression(self) -> str:
        """An expression for its value."""
        return self.param.expression if self._default is None else self.param.expression_or(self._default)

    @property
    def is_list(self) -> bool:
        """Whether its values are, or may be, lists."""
        return bool(self.path) or self.param.is_list

    @property
    def is_plain_text(self) -> bool:
        """Whether an expression shows the value as Python does."""
        is_same = self.param.manifest["type"] in {"string", "integer"} and not self.param.is_converted
        return is_same and not self.is_optional and not self.path

    @property
    def is_optional(self) -> bool:
        """Whether the value may be None."""
        return bool(self.path) or (self.param.is_optional and self._default is None)

    @property
    def is_immutable(self) -> bool:
        """Whether it is a number or a text."""
        return not self.path and self.param.manifest["type"] not in {"array", "object"}

    def with_default(self, expression: str) -> ParamSymbol:
        """Return the symbol of the value, or of another if the param is not given."""
        made = ParamSymbol(self.param, default=expression)
        made.changes = self.changes
        return made

    def at(self, step: Step) -> Symbol:
        """Return a part."""
        made = ParamSymbol(self.param, default=self._default, path=(*self.path, step))
        made.changes = self.changes
        return made

    def __iter__(self) -> Iterator[Any]:
        """Have the default of the param iterated over instead."""
        if self.is_optional and not self.path:
            refuse(self, ITERATED)
        self.compile_with_default(ITERATED)

    def __index__(self) -> int:  # noqa: PLE0305 - it never returns
        """Have the default of the param used instead."""
        self.compile_with_default("is converted to a number")

    def compile_with_default(self, what: str) -> NoReturn:
        """Have the flow compiled with the default of the param.

        Args:
            what: the use that needs it, for messages.

        Raises:
            SettledParamError: it has a default.
            RefusedError: it has none.
        """
        if not self.param.has_default:
            refuse(self, what)
        raise SettledParamError(self.param.name, current_location())


class ResultSymbol(Symbol):
    """The result of a task that was called, or a part of it.

    Args:
        node: the task; for a mapped task, this is the list of its results.
        path: the keys and indexes of the part.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node, path: tuple[Step, ...] = ()) -> None:
        super().__init__(f"the result of {node.name!r}", path)
        self.node = node
        self.changes = node.changes

    @property
    def is_immutable(self) -> bool:
        """Whether the task says that it returns a number, a text or a date."""
        return not self.path and self.node.fan_out is None and returned_type(self.node.task) in IMMUTABLE

    def at(self, step: Step) -> Symbol:
        """Return a part."""
        return ResultSymbol(self.node, (*self.path, step))


class RunSymbol(Symbol):
    """A property of the run.

    Args:
        description: what it is.
        expression: an expression for it.
    """

    __slots__ = ("expression",)

    def __init__(self, description: str, expression: str) -> None:
        super().__init__(description)
        self.expression = expression

    def at(self, step: Any) -> NoReturn:
        """Refuse: it has no parts."""
        raise current_location().compile_error(
            f"{self.description} cannot be indexed by [{step!r}]", "pass it to a task unchanged"
        )


def refuse(symbol: Symbol, what: str, advice: str | None = None) -> NoReturn:
    """Refuse a use that needs the value.

    Raises:
        RefusedError: always.
    """
    if advice is None:
        advice = f"{_WAYS_OUT.get(what, '')}{ADVICE}"
    raise current_location().compile_error(
        f"{symbol.description} {what}, which is known only when the flow runs", advice
    )


PICKLED: Final = "is inside of an argument that is pickled"
_PICKLED_ADVICE: Final = "pass it as an argument of its own, or in a list or dictionary, "
_WAYS_OUT: Final = {
    PICKLED: _PICKLED_ADVICE,
    ITERATED: "use .map() to run a task for each of its items, ",
    TEXT: "use an f-string in the function of the flow, ",
}
_REFUSED: Final = {
    "is used as a condition (`if`, `while`, `and`, `any()`, sorting)": ("__bool__",),
    TEXT: ("__str__", "__format__"),
    ITERATED: ("__iter__", "__next__", "__reversed__", "__aiter__"),
    "is measured with len()": ("__len__", "__length_hint__"),
    "is searched": ("__contains__",),
    "is looked up in a dictionary or set": ("__hash__",),
    PICKLED: ("__reduce_ex__",),
    "is called": ("__call__",),
    "is changed": ("__setitem__", "__delitem__"),
    "is used in a `with`": ("__enter__", "__aenter__"),
    "is awaited": ("__await__",),
    "is converted to a number": ("__int__", "__float__", "__complex__", "__index__", "__trunc__"),
    "is converted to bytes or a path": ("__bytes__", "__fspath__"),
}


def _refuser(what: str) -> Any:
    def refusing(self: Symbol, *_: Any) -> NoReturn:
        refuse(self, what)

    return refusing


for _what, _names in _REFUSED.items():
    for _name in _names:
        setattr(Symbol, _name, _refuser(_what))


class TracedFuture(Future[Any], Changeable):
    """The future of a task that was submitted while tracing.

    Args:
        node: the task.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def state(self) -> State[Any]:
        """Its final state; what follows waits until it has finished."""
        self.node.wait_for_end()
        return TracedState(self.node)

    def done(self) -> bool:
        """Return true after waiting for it; refuse before."""
        if self.node.is_awaited:
            return True
        raise _unknown(self.node, "done()")

    def wait(self, timeout: float | None = None) -> None:
        """Have what follows wait until it has finished."""
        _refuse_timeout(timeout)
        self.node.wait_for_end()

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Have what follows wait until it has completed, and return the symbol of its result."""
        _refuse_timeout(timeout)
        if not raise_on_failure:
            raise current_location().compile_error(
                f"result(raise_on_failure=False) of {self.node.name!r} is known only when the flow runs",
                "pass allow_failure(future) to the task that needs it",
            )
        self.node.wait_for_success()
        return ResultSymbol(self.node)

    def add_done_callback(self, _: Any) -> None:
        """Refuse: the function of the flow does not run then."""
        raise _unknown(self.node, "add_done_callback()")

    def __await__(self) -> Generator[Any, None, Any]:
        """Return the symbol of its result."""
        yield from ()
        return self.result()

    def __getattr__(self, name: str) -> Any:
        """Refuse attributes of a run."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise _unknown(self.node, f".{name}")

    def __repr__(self) -> str:
        """Return the name of the task."""
        return f"TracedFuture({self.node.name!r})"


class TracedFutures(FutureList[Any], Changeable):
    """The futures of a task that was mapped while tracing.

    Args:
        node: the task.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def wait(self, timeout: float | None = None) -> None:
        """Have what follows wait until all have finished."""
        _refuse_timeout(timeout)
        self.node.wait_for_end()

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Have what follows wait until all have completed, and return the symbol of their results."""
        return TracedFuture(self.node).result(timeout, raise_on_failure)


class TracedState(State[Any], Changeable):
    """The final state of a task.

    Args:
        node: the task; for a mapped task, all of its items.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        super().__init__(StateType.RUNNING, "Running")
        self.node = node

    @awaitable
    def result(self, raise_on_failure: bool = True, retry_result_failure: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - Prefect's signature
        """Return the symbol of the result."""
        return TracedFuture(self.node).result(None, raise_on_failure)

    def __getattribute__(self, name: str) -> Any:
        """Refuse attributes that depend on how the task ended."""
        if name in {"node", "result"} or name.startswith("__"):
            return super().__getattribute__(name)
        node = super().__getattribute__("node")
        raise current_location().compile_error(
            f".{name} of the state of {node.name!r} is known only when the flow runs",
            "pass the state, or allow_failure(future), to a task; use @flow(run_as='pod'); or write the Flow as YAML"
            " with `dependsOnStates` or a `when`",
        )

    def __repr__(self) -> str:
        """Return the name of the task."""
        return f"TracedState({self.node.name!r})"


class TracedStates(list[Any], Changeable):
    """The states of a mapped task.

    Args:
        node: the task.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node


def _refuse_list(self: Any, *_: Any) -> NoReturn:
    raise current_location().compile_error(
        f"the runs of {self.node.name!r} are iterated over, counted or indexed, but their number is known only when the"
        " flow runs",
        "get all results with futures.result(), pass the futures to another task or to its map(), or use"
        " @flow(run_as='pod')",
    )


_OF_LISTS: Final = (
    *("__iter__", "__len__", "__getitem__", "__bool__", "__contains__", "__reversed__", "__add__", "__mul__"),
    *("append", "extend", "index", "count", "pop", "sort", "reverse", "insert", "remove", "copy"),
)
for _name in _OF_LISTS:
    setattr(TracedFutures, _name, _refuse_list)
    setattr(TracedStates, _name, _refuse_list)


def _refuse_pickling(self: Any, _: Any) -> NoReturn:
    raise current_location().compile_error(
        f"the run of {self.node.name!r} {PICKLED}, which is known only when the flow runs",
        f"{_PICKLED_ADVICE}or use @flow(run_as='pod')",
    )


for _kind in (TracedFuture, TracedFutures, TracedState, TracedStates):
    _kind.__reduce_ex__ = _refuse_pickling  # type: ignore[method-assign] # four classes refuse alike


def _unknown(node: Node, what: str) -> Signal:
    return current_location().compile_error(
        f"{what} of the future of {node.name!r} is known only when the flow runs", ADVICE
    )


def _refuse_timeout(timeout: float | None) -> None:
    if timeout is not None:
        raise current_location().compile_error(
            "a timeout for waiting is not supported in a Flow", "set timeout_seconds on the task instead"
        )
