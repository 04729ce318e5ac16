"""Symbols: placeholders for params and results while a flow is traced.

They can be passed to tasks and returned. Any other use needs the value, so it is refused.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NoReturn

from penstock.authoring.compilation.code_location import current_location
from penstock.authoring.compilation.node import Node
from penstock.authoring.futures import Future, FutureList
from penstock.authoring.states import State, StateType

ADVICE: Final = (
    "do it in a task, run the whole flow in one container with @flow(run_as='pod'), or write the Flow as YAML with"
    " a `when`"
)
ITERATED: Final = "is iterated over"
Step = str | int


class Symbol:
    """A value that is known when the flow runs.

    Args:
        description: what it is, for messages: `the param 'day'`.
        path: the keys and indexes that lead to it from there.
    """

    __slots__ = ("description", "path")

    def __init__(self, description: str, path: tuple[Step, ...] = ()) -> None:
        self.description = description
        self.path = path

    def at(self, step: Step) -> Symbol:
        """Return the part at a key or index."""
        raise NotImplementedError

    def __getitem__(self, step: Any) -> Symbol:
        """Return the part at a key or index that is known."""
        if isinstance(step, bool) or not isinstance(step, str | int):
            refuse(self, f"is indexed by [{step!r}]")
        return self.at(step)

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse access to attributes of the value."""
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        refuse(self, f"is read for its attribute .{name}")


class ParamSymbol(Symbol):
    """A param of the flow, or a part of one.

    Args:
        name: name of the param.
        expression: an expression for its value.
        is_list: whether its values are lists.
        path: the keys and indexes of the part.
    """

    __slots__ = ("expression", "is_list", "name")

    def __init__(self, name: str, *, expression: str, is_list: bool, path: tuple[Step, ...] = ()) -> None:
        super().__init__(f"the param {name!r}", path)
        self.name = name
        self.expression = expression
        self.is_list = is_list

    def at(self, step: Step) -> Symbol:
        """Return a part."""
        return ParamSymbol(self.name, expression=self.expression, is_list=True, path=(*self.path, step))


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

    def at(self, step: Step) -> Symbol:
        """Return a part."""
        return ResultSymbol(self.node, (*self.path, step))


def refuse(symbol: Symbol, what: str) -> NoReturn:
    """Refuse a use that needs the value.

    Raises:
        CompileError: always.
    """
    advice = f"use .map() to run a task for each of its items, {ADVICE}" if what == ITERATED else ADVICE
    raise current_location().compile_error(
        f"{symbol.description} {what}, which is known only when the flow runs", advice
    )


_REFUSED: Final = {
    "is used as a condition": ("__bool__",),
    "is converted to text": ("__str__", "__format__", "__repr__"),
    ITERATED: ("__iter__", "__next__", "__reversed__", "__aiter__"),
    "is measured with len()": ("__len__", "__length_hint__"),
    "is searched": ("__contains__",),
    "is looked up in a dictionary or set": ("__hash__",),
    "is inside of an argument that is pickled": ("__reduce_ex__",),
    "is compared": ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    "is called": ("__call__",),
    "is changed": ("__setitem__", "__delitem__"),
    "is used in a `with`": ("__enter__", "__aenter__"),
    "is awaited": ("__await__",),
    "is converted to a number": ("__int__", "__float__", "__complex__", "__index__", "__round__", "__trunc__"),
    "is converted to bytes or a path": ("__bytes__", "__fspath__"),
    "is used in a calculation": (
        *(f"__{side}{name}__" for side in ("", "r") for name in (
            "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift", "and",
            "xor", "or",
        )),
        "__neg__", "__pos__", "__abs__", "__invert__",
    ),
}  # fmt: skip


def _refuser(what: str) -> Any:
    def refusing(self: Symbol, *_: Any) -> NoReturn:
        refuse(self, what)

    return refusing


for _what, _names in _REFUSED.items():
    for _name in _names:
        setattr(Symbol, _name, _refuser(_what))


class TracedFuture(Future[Any]):
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


class TracedFutures(FutureList[Any]):
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


class TracedState(State[Any]):
    """The final state of a task.

    Args:
        node: the task; for a mapped task, all of its items.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        super().__init__(StateType.RUNNING, "Running")
        self.node = node

    def result(self, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002 - Prefect's signature
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


class TracedStates(list[Any]):
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


def _unknown(node: Node, what: str) -> Exception:
    return current_location().compile_error(
        f"{what} of the future of {node.name!r} is known only when the flow runs", ADVICE
    )


def _refuse_timeout(timeout: float | None) -> None:
    if timeout is not None:
        raise current_location().compile_error(
            "a timeout for waiting is not supported in a Flow", "set timeout_seconds on the task instead"
        )
