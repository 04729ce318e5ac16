"""What flows and tasks have in common: a function, how it is called, and how it is bound to an instance."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

from penstock.authoring.options import FlowOptions, TaskOptions
from penstock.errors import OptionError, ParameterError

OptionsT = TypeVar("OptionsT")

RESERVED: Final = frozenset({"return_state", "wait_for"})
"""Arguments that calls of flows and tasks take for themselves."""


class Decorated(Generic[OptionsT]):
    """A decorated function: a flow with `FlowOptions`, a task with `TaskOptions`.

    Args:
        fn: the function; also a class method or static method, as it stands in the class.
        name: its name, for messages and keys.
        options: the options that the decorator was given.
        origin: what stood in the class, if the function was a method.

    Raises:
        OptionError: it is no function, or a parameter has a reserved name.
    """

    def __init__(self, fn: Any, name: str, options: OptionsT, origin: Any = None) -> None:
        self._origin = fn if origin is None else origin
        """What stood in the class: tells how to bind."""
        fn = fn.__func__ if isinstance(fn, classmethod | staticmethod) else fn
        if isinstance(fn, Decorated):
            raise OptionError(f"{name!r} is a {type(fn).__name__} already: decorate a function that calls it")
        self.fn: Callable[..., Any] = fn
        functools.update_wrapper(cast("Callable[..., Any]", self), fn, updated=())
        self.name = name
        self.options = options
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
        self.is_generator = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
        try:
            self.signature = inspect.signature(fn)
        except (TypeError, ValueError) as error:
            raise OptionError(f"{name!r} can't be decorated ({error}): write a function that calls it") from error
        self._binds_trivially = all(
            parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            for parameter in self.signature.parameters.values()
        )
        self._parameter_names = tuple(self.signature.parameters)
        if taken := sorted(RESERVED & set(self.signature.parameters)):
            raise OptionError(f"{name!r} has a parameter {taken[0]!r}, which every call takes for itself: rename it")

    @functools.cached_property
    def key(self) -> str:
        """The name, and where the function stands: the same in each process that runs the same program."""
        module = self.fn.__module__
        if module in {"__main__", "__mp_main__"}:  # the latter in a process that multiprocessing has started
            file = getattr(sys.modules["__main__"], "__file__", None)
            module = os.path.realpath(file) if file else module
        return f"{self.name}|{module}:{getattr(self.fn, '__qualname__', self.name)}"

    @functools.cached_property
    def source(self) -> str:
        """The text of the function, or its byte code where there is no text."""
        fn = inspect.unwrap(self.fn)
        try:
            return inspect.getsource(fn)
        except (OSError, TypeError):
            code = getattr(fn, "__code__", None)
            return repr((code.co_code, code.co_consts, code.co_names)) if code else self.key

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name, defaults included.

        Raises:
            ParameterError: the function does not take them.
        """
        if not kwargs and self._binds_trivially and len(args) == len(self._parameter_names):
            return dict(zip(self._parameter_names, args, strict=True))
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterError(f"{self.name!r} can't be called so: {error}") from error
        bound.apply_defaults()
        return bound.arguments

    def arguments(self, parameters: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Turn parameters by name into arguments of a call."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            if name not in parameters:
                continue
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                args += parameters[name]
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                kwargs |= parameters[name]
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[name] = parameters[name]
            else:
                args.append(parameters[name])
        return tuple(args), kwargs

    def bound_function(self, instance: object | None, owner: type | None) -> Callable[..., Any] | None:
        """Return the function bound as a method; None if it does not need to be."""
        if isinstance(self._origin, staticmethod):
            return None
        if isinstance(self._origin, classmethod):
            return types.MethodType(self.fn, owner)
        return None if instance is None else types.MethodType(self.fn, instance)


FlowFunction = Decorated[FlowOptions]
"""A flow, as the modules know it that `flow` imports."""
TaskFunction = Decorated[TaskOptions]
"""A task, as the modules know it that `task` imports."""
