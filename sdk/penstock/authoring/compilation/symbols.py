"""What stands for values while a flow is traced: params and results that nobody knows yet.

They can be handed on to tasks and returned. Whatever else is done with one needs its value, so it is refused.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NoReturn

from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.place import here
from penstock.authoring.futures import Future, FutureList
from penstock.authoring.states import State, StateType

ADVICE: Final = (
    "do it inside a task, run the whole flow in one container with @flow(run_as='pod'), or write the Flow by hand with"
    " a `when`"
)
GONE_THROUGH: Final = "is gone through"
Step = str | int


class Symbol:
    """A value that is known when the flow runs.

    Args:
        told: what it is, for messages: `the param 'day'`.
        path: the keys and indexes that lead to it from there.
    """

    __slots__ = ("path", "told")

    def __init__(self, told: str, path: tuple[Step, ...] = ()) -> None:
        self.told = told
        self.path = path

    def at(self, step: Step) -> Symbol:
        """Return what is at a key or index of it."""
        raise NotImplementedError

    def __getitem__(self, step: Any) -> Symbol:
        """Return what is at a key or index, if that is known."""
        if isinstance(step, bool) or not isinstance(step, str | int):
            refuse(self, f"is asked for its [{step!r}]")
        return self.at(step)

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse to know anything about the value."""
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        refuse(self, f"is asked for its .{name}")


class ParamSymbol(Symbol):
    """A param of the flow, or a part of one.

    Args:
        name: the param's.
        expression: an expression for its value.
        is_list: whether its values are lists.
        path: what leads to the part.
    """

    __slots__ = ("expression", "is_list", "name")

    def __init__(self, name: str, *, expression: str, is_list: bool, path: tuple[Step, ...] = ()) -> None:
        super().__init__(f"the param {name!r}", path)
        self.name = name
        self.expression = expression
        self.is_list = is_list

    def at(self, step: Step) -> Symbol:
        """Return a part of it."""
        return ParamSymbol(self.name, expression=self.expression, is_list=True, path=(*self.path, step))


class ResultSymbol(Symbol):
    """The result of a task that was called, or a part of it.

    Args:
        node: the task; of a mapped one this is the list of its results.
        path: what leads to the part.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node, path: tuple[Step, ...] = ()) -> None:
        super().__init__(f"the result of {node.name!r}", path)
        self.node = node

    def at(self, step: Step) -> Symbol:
        """Return a part of it."""
        return ResultSymbol(self.node, (*self.path, step))


def refuse(symbol: Symbol, what: str) -> NoReturn:
    """Refuse what needs the value.

    Raises:
        CompileError: always.
    """
    advice = f"map a task over it with .map(), {ADVICE}" if what == GONE_THROUGH else ADVICE
    raise here().refuse(f"{symbol.told} {what}, which is known only when the flow runs", advice)


_REFUSED: Final = {
    "is used as a condition": ("__bool__",),
    "is made text": ("__str__", "__format__", "__repr__"),
    GONE_THROUGH: ("__iter__", "__next__", "__reversed__", "__aiter__"),
    "is asked for its length": ("__len__", "__length_hint__"),
    "is searched": ("__contains__",),
    "is looked up in a dictionary or set": ("__hash__",),
    "is hidden inside of an argument": ("__reduce_ex__",),
    "is compared": ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    "is called": ("__call__",),
    "is changed": ("__setitem__", "__delitem__"),
    "is used in a `with`": ("__enter__", "__aenter__"),
    "is awaited": ("__await__",),
    "is turned into a number": ("__int__", "__float__", "__complex__", "__index__", "__round__", "__trunc__"),
    "is turned into bytes or a path": ("__bytes__", "__fspath__"),
    "is calculated with": (
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
        """How it ended: whoever asks waits."""
        self.node.wait_for_end()
        return TracedState(self.node)

    def done(self) -> bool:
        """Whether it is over, which only waiting tells."""
        if self.node.is_awaited:
            return True
        raise _unknown(self.node, "done()")

    def wait(self, timeout: float | None = None) -> None:
        """Have what follows wait until it is over."""
        _refuse_timeout(timeout)
        self.node.wait_for_end()

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Have what follows wait until it has completed, and stand for its result."""
        _refuse_timeout(timeout)
        if not raise_on_failure:
            raise here().refuse(
                f"result(raise_on_failure=False) of {self.node.name!r} is known only when the flow runs",
                "hand allow_failure(future) to the task that wants to know",
            )
        self.node.wait_for_success()
        return ResultSymbol(self.node)

    def add_done_callback(self, _: Any) -> None:
        """Refuse: nothing of the flow runs then."""
        raise _unknown(self.node, "add_done_callback()")

    def __await__(self) -> Generator[Any, None, Any]:
        """Stand for its result."""
        yield from ()
        return self.result()

    def __getattr__(self, name: str) -> Any:
        """Refuse what a run would have."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise _unknown(self.node, f".{name}")

    def __repr__(self) -> str:
        """Return which task."""
        return f"TracedFuture({self.node.name!r})"


class TracedFutures(FutureList[Any]):
    """The futures of a task that was mapped while tracing: as many as there will be items.

    Args:
        node: the task.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def wait(self, timeout: float | None = None) -> None:
        """Have what follows wait until all are over."""
        _refuse_timeout(timeout)
        self.node.wait_for_end()

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Have what follows wait until all have completed, and stand for the list of their results."""
        return TracedFuture(self.node).result(timeout, raise_on_failure)


class TracedState(State[Any]):
    """How a task will have ended.

    Args:
        node: the task; of a mapped one these are the states of all items.
    """

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        super().__init__(StateType.RUNNING, "Running")
        self.node = node

    def result(self, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002 - Prefect's signature
        """Stand for the result."""
        return TracedFuture(self.node).result(None, raise_on_failure)

    def __getattribute__(self, name: str) -> Any:
        """Refuse what depends on how the task ended."""
        if name in {"node", "result"} or name.startswith("__"):
            return super().__getattribute__(name)
        node = super().__getattribute__("node")
        raise here().refuse(
            f".{name} of the state of {node.name!r} is known only when the flow runs",
            "hand the state, or allow_failure(future), to a task; use @flow(run_as='pod'); or write the Flow by hand"
            " with `dependsOnStates` or a `when`",
        )

    def __repr__(self) -> str:
        """Return which task."""
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
    raise here().refuse(
        f"the runs of {self.node.name!r} are gone through, counted or picked from, but how many there are is known only"
        " when the flow runs",
        "take all results at once with futures.result(), hand the futures to another task or to its map(), or use"
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
    return here().refuse(f"{what} of the future of {node.name!r} is known only when the flow runs", ADVICE)


def _refuse_timeout(timeout: float | None) -> None:
    if timeout is not None:
        raise here().refuse("a timeout of waiting can't be kept", "give the task timeout_seconds instead")
