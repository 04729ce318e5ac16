"""Operations on symbols: arithmetic, comparisons, f-strings and defaults, which the Pod of the task carries out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NoReturn

from penstock.authoring.compilation.changes import IMMUTABLE
from penstock.authoring.compilation.exact import is_exact
from penstock.authoring.compilation.program.code_location import current_location
from penstock.authoring.compilation.refusal import Signal, raise_remembered
from penstock.authoring.compilation.symbols import (
    ADVICE,
    ITERATED,
    ParamSymbol,
    ResultSymbol,
    Step,
    Symbol,
    TracedFuture,
    TracedFutures,
    TracedState,
    TracedStates,
    refuse,
)
from penstock.authoring.pods.pod_operations import BINARY, COMPARISONS, FUNCTIONS, TEXT, UNARY

_OF_ELEMENTS: Final = frozenset({"getitem", "default", "either", "and", "or", "min", "max"})
"""Operations whose results are parts of their operands, which may be None."""
_IMMUTABLE: Final = frozenset({*COMPARISONS, TEXT, "not", "contains", "str", "repr", "ascii", "format", "int", "float"})
_OF_NUMBERS_AND_TEXTS: Final = frozenset({"add", "sub", "truediv", "floordiv", "mod", "pow"})
"""Operations whose results are numbers or texts if one of their operands is."""
MAX_DEPTH: Final = 5
"""How deep symbols are looked for in the subject of a `match`."""


class OperationSymbol(Symbol):
    """The result of an operation on a symbol.

    Args:
        operation: its name, of `pod_operations`.
        operands: symbols and other values.
    """

    __slots__ = ("operands", "operation")

    def __init__(self, operation: str, *operands: Any) -> None:
        operands = tuple(map(_as_it_is, operands))
        first = next(_symbols_in(operands))
        description = (
            first.description if isinstance(first, OperationSymbol) else f"a value made of {first.description}"
        )
        super().__init__(description)
        self.operation = operation
        self.operands = operands

    @property
    def is_immutable(self) -> bool:
        """Whether it is a number or a text."""
        return self.operation in _IMMUTABLE or (
            self.operation in _OF_NUMBERS_AND_TEXTS and any(map(_is_immutable, self.operands))
        )

    def mark_changed(self) -> None:
        """Refuse further uses of the value, and of those that it may be or be a part of."""
        super().mark_changed()
        if self.operation in _OF_ELEMENTS:
            for each in _symbols_in(self.operands):
                each.mark_changed()

    def at(self, step: Step) -> Symbol:
        """Return a part."""
        return OperationSymbol("getitem", self, step)

    def __iter__(self) -> Iterator[Any]:
        """Have the defaults of the params used instead, if this is made of nothing else."""
        self._compile_with_default(ITERATED)

    def __index__(self) -> int:  # noqa: PLE0305 - it never returns
        """Have the defaults of the params used instead, if this is made of nothing else."""
        self._compile_with_default("is converted to a number")

    def _compile_with_default(self, what: str) -> NoReturn:
        symbols = list(_leaves(self))
        params = [each for each in symbols if isinstance(each, ParamSymbol) and each.param.has_default]
        if len(params) == len(symbols):
            params[0].compile_with_default(what)
        refuse(self, what)


def _leaves(symbol: Symbol) -> Iterator[Symbol]:
    """Yield the params and results that a value is made of."""
    if not isinstance(symbol, OperationSymbol):
        yield symbol
        return
    for each in _symbols_in(symbol.operands):
        yield from _leaves(each)


def _symbols_in(operands: Iterable[Any]) -> Iterator[Symbol]:
    """Yield the symbols among operands, and in lists and tuples among them."""
    for each in operands:
        if isinstance(each, Symbol):
            yield each
        elif isinstance(each, list | tuple):
            yield from _symbols_in(each)


def _is_immutable(operand: Any) -> bool:
    return operand.is_immutable if isinstance(operand, Symbol) else type(operand) in IMMUTABLE


def _as_it_is(operand: Any) -> Any:
    """Return a copy of a collection: the function of the flow may change it afterwards."""
    if type(operand) in {list, tuple}:
        return type(operand)(map(_as_it_is, operand))
    if type(operand) is dict:
        return {key: _as_it_is(each) for key, each in operand.items()}
    return set(operand) if type(operand) is set else operand


def _method(name: str, *, is_reflected: bool = False) -> Callable[..., Any]:
    def apply(self: Symbol, *others: Any) -> Any:
        operands = (*others, self) if is_reflected else (self, *others)
        return OperationSymbol(name, *operands)

    return apply


def _in_place(name: str) -> Callable[..., Any]:
    def apply(self: Symbol, other: Any) -> Any:
        if self.is_immutable or (name in _OF_NUMBERS_AND_TEXTS and _is_immutable(other)):
            return OperationSymbol(name, self, other)
        made = OperationSymbol(name, self.kept(), other)
        self.mark_changed()
        return made

    return apply


for _name in (*BINARY, *COMPARISONS, *UNARY):
    setattr(Symbol, f"__{_name}__", _method(_name))
for _name in BINARY:
    setattr(Symbol, f"__r{_name}__", _method(_name, is_reflected=True))
    setattr(Symbol, f"__i{_name}__", _in_place(_name))
Symbol.__round__ = _method("round")  # type: ignore[attr-defined]


class Rewritten:
    """What the rewritten source of a flow calls in place of what symbols cannot do themselves.

    Args:
        count_calls: returns the number of calls of tasks so far.
        explain: returns the refusal for an error that a symbol has caused; None for other errors.
    """

    def __init__(self, count_calls: Callable[[], int], explain: Callable[[BaseException], Signal | None]) -> None:
        self._count_calls = count_calls
        self._explain = explain

    def caught(self) -> None:
        """Called first in each exception handler: no handler handles a refusal.

        Raises:
            Signal: the exception was caused by a symbol.
        """
        raise_remembered()
        error = sys.exception()
        if error is not None and (refused := self._explain(error)) is not None:
            raise refused from error

    def compared_with_none(self, value: Any, text: str) -> Any:
        """Return a value that is compared with None: the answer is known for all but optional params and results.

        Args:
            value: the value.
            text: the expression for it.
        """
        if _may_be_none(value):
            _refuse_identity(text, _advice_for_none(text))
        return value

    def equal_to_none(self, value: Any, text: str) -> Any:
        """Return a value that is compared with None by `==` or `!=`.

        Args:
            value: the value.
            text: the expression for it.
        """
        if not isinstance(value, Symbol):
            return value
        if _may_be_none(value):
            raise current_location().compile_error(
                f"whether {text!r} equals None is known only when the flow runs", _advice_for_none(text)
            )
        return False  # it is not None, and neither is this

    def asked(self, value: Any, text: str) -> Any:
        """Return a value whose identity or type is asked for."""
        if isinstance(value, Symbol):
            _refuse_identity(text, ADVICE)
        return value

    def ask(self, function: Any, text: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of `rewriting.OF_TYPE`, or a function of the user's with its name."""
        if getattr(function, "__module__", None) == "builtins":
            self.asked(args[0], text)
        return function(*args, **kwargs)

    def matched(self, value: Any, text: str) -> Any:
        """Return the subject of a `match`."""
        if _has_symbol(value):
            _refuse_identity(text, ADVICE)
        return value

    def default(self, value: Any, make: Callable[[], Any], problem: str | None) -> Any:
        """Return a value, or what replaces it if it is None.

        Args:
            value: the value.
            make: makes the replacement.
            problem: why the replacement is not a constant; None if it is.
        """
        if not isinstance(value, Symbol):
            return make() if value is None else value
        if isinstance(value, ParamSymbol) and not value.is_optional:
            return value
        replacement = self._constant(value, make, problem)
        if isinstance(value, ParamSymbol) and not value.path and not value.param.is_converted and is_exact(replacement):
            return value.with_default(json.dumps(replacement, ensure_ascii=False))
        return OperationSymbol("default", value, replacement)

    def either(self, value: Any, make: Callable[[], Any], problem: str | None) -> Any:
        """Return `value or make()`."""
        if not isinstance(value, Symbol):
            return value or make()
        return OperationSymbol("either", value, self._constant(value, make, problem))

    def negated(self, value: Any) -> Any:
        """Return `not value`."""
        return OperationSymbol("not", value) if isinstance(value, Symbol) else not value

    def contains(self, value: Any, container: Any) -> Any:
        """Return `value in container`."""
        known = list(container) if isinstance(container, list | tuple) else []
        if any(isinstance(each, Symbol) for each in (container, value, *known)):
            return OperationSymbol("contains", container, value)
        return value in container

    def asserted(self, value: Any) -> Any:
        """Return what is asserted.

        Raises:
            RefusedError: it is known only when the flow runs.
        """
        if isinstance(value, Symbol):
            refuse(value, "is asserted")
        return value

    def text(self, *parts: Any) -> Any:
        """Return an f-string: texts, and tuples of value, conversion and format."""
        made = [part if isinstance(part, str) else self._formatted(*part) for part in parts]
        return OperationSymbol(TEXT, *made) if any(isinstance(each, Symbol) for each in made) else "".join(made)

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of Python, or record the call if an argument is a symbol."""
        operation = next((name for name, known in FUNCTIONS.items() if known is function), None)
        if operation is None or kwargs or not any(isinstance(each, Symbol) for each in args):
            return function(*args, **kwargs)
        return OperationSymbol(operation, *args)

    def _formatted(self, value: Any, conversion: str | None, spec: Any) -> Any:
        if isinstance(spec, Symbol):
            refuse(spec, "is a format")
        if isinstance(value, TracedFuture | TracedFutures | TracedState | TracedStates):
            _refuse_run(value)
        if isinstance(value, Symbol):
            made = OperationSymbol(conversion, value) if conversion else value
            return OperationSymbol("format", made, spec)
        converted = value if conversion is None else FUNCTIONS[conversion](value)
        return format(converted, spec)

    def _constant(self, value: Symbol, make: Callable[[], Any], problem: str | None) -> Any:
        if problem is not None:
            raise current_location().compile_error(
                f"{value.description} is replaced by {problem}, which would be computed when the flow is compiled",
                "compute it in a task that gets the param, or use @flow(run_as='pod')",
            )
        calls = self._count_calls()
        made = make()
        if self._count_calls() != calls:
            raise current_location().compile_error(
                f"a task is called only if {value.description} is not given, which is known only when the flow runs",
                "call it always, and decide in a task; or use @flow(run_as='pod')",
            )
        return made


def _refuse_run(run: Any) -> NoReturn:
    raise current_location().compile_error(
        f"the run of {run.node.name!r} is converted to text, which is known only when the flow runs",
        "use its result(), or .map() and result()",
    )


def _refuse_identity(text: str, advice: str) -> NoReturn:
    raise current_location().compile_error(f"the identity or type of {text!r} is known only when the flow runs", advice)


def _advice_for_none(text: str) -> str:
    constant = f"to replace None by a constant, write `if {text} is None: {text} = ...` and nothing else; "
    return f"{constant if text.isidentifier() else ''}to decide by it, {ADVICE}"


def _may_be_none(value: Any) -> bool:
    if isinstance(value, OperationSymbol):
        return value.operation in _OF_ELEMENTS
    return isinstance(value, ResultSymbol) or (isinstance(value, ParamSymbol) and value.is_optional)


def _has_symbol(value: Any, depth: int = 0) -> bool:
    """Whether a value is a symbol, or a collection with one in it."""
    if isinstance(value, Symbol):
        return True
    if type(value) not in {list, tuple, dict} or depth > MAX_DEPTH:
        return False
    return any(_has_symbol(each, depth + 1) for each in (value.values() if type(value) is dict else value))
