"""The base of flows and tasks: a decorated function, its arguments, and its binding to instances."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

from penstock.authoring.options.attributes import attribute_of
from penstock.authoring.options.options import FlowOptions, TaskOptions
from penstock.errors import OptionError, ParameterError

OptionsT = TypeVar("OptionsT")
HookT = TypeVar("HookT", bound=Callable[..., Any])

RESERVED: Final = frozenset({"return_state", "wait_for"})
"""Keyword arguments that each call of a flow or task accepts."""


class Decorated(Generic[OptionsT]):
    """A decorated function: a flow with `FlowOptions`, a task with `TaskOptions`.

    Args:
        fn: the function, class method or static method, as found in its class.
        name: its name, for messages and keys.
        options: the options of the decorator.
        origin: the function as found in its class, if it is a method.

    Raises:
        OptionError: it is not a function, or a parameter has a reserved name.
    """

    def __init__(self, fn: Any, name: str, options: OptionsT, origin: Any = None) -> None:
        self._origin = fn if origin is None else origin
        """Decides how to bind."""
        fn = fn.__func__ if isinstance(fn, classmethod | staticmethod) else fn
        if isinstance(fn, Decorated):
            raise OptionError(f"{name!r} is already a {type(fn).__name__}: decorate a function that calls it")
        self.fn: Callable[..., Any] = fn
        functools.update_wrapper(cast("Callable[..., Any]", self), fn, updated=())
        self.name = name
        self.options = options
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
        self.is_generator = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
        try:
            self.signature = inspect.signature(fn)
        except (TypeError, ValueError) as error:
            raise OptionError(f"{name!r} cannot be decorated ({error}): write a function that calls it") from error
        self._binds_trivially = all(
            parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            for parameter in self.signature.parameters.values()
        )
        self._parameter_names = tuple(self.signature.parameters)
        if taken := sorted(RESERVED & set(self.signature.parameters)):
            raise OptionError(f"parameter {taken[0]!r} of {name!r} is reserved: rename it")

    @functools.cached_property
    def key(self) -> str:
        """The name and the location of the function: the same in each process that runs the same program."""
        module = self.fn.__module__
        if module in {"__main__", "__mp_main__"}:  # the latter in processes of multiprocessing
            file = getattr(sys.modules["__main__"], "__file__", None)
            module = os.path.realpath(file) if file else module
        return f"{self.name}|{module}:{getattr(self.fn, '__qualname__', self.name)}"

    @functools.cached_property
    def source(self) -> str:
        """The source code of the function, or its byte code if there is none."""
        fn = inspect.unwrap(self.fn)
        try:
            return inspect.getsource(fn)
        except (OSError, TypeError):
            code = getattr(fn, "__code__", None)
            return repr((code.co_code, code.co_consts, code.co_names)) if code else self.key

    @property
    def isasync(self) -> bool:
        """Whether it is a coroutine function; Prefect's name."""
        return self.is_async

    @property
    def isgenerator(self) -> bool:
        """Whether it is a generator function; Prefect's name."""
        return self.is_generator

    @property
    def task_key(self) -> str:
        """Its name, and where its function is."""
        return self.key

    def __getattr__(self, name: str) -> Any:
        """Return an option under Prefect's name."""
        if not name.startswith("_") and "options" in vars(self):
            try:
                return attribute_of(self.options, name)
            except AttributeError:
                pass
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def on_running(self, hook: HookT) -> HookT:
        """Register a hook that is called when an attempt starts. A decorator."""
        return self._add_hook("on_running", hook)

    def on_completion(self, hook: HookT) -> HookT:
        """Register a hook that is called when a run completes. A decorator."""
        return self._add_hook("on_completion", hook)

    def on_failure(self, hook: HookT) -> HookT:
        """Register a hook that is called when a run has failed and has no retries left. A decorator."""
        return self._add_hook("on_failure", hook)

    def _add_hook(self, moment: str, hook: HookT) -> HookT:
        self.options = self._read_options({moment: (*getattr(self.options, moment), hook)})
        return hook

    def _read_options(self, keywords: Mapping[str, Any]) -> OptionsT:
        """Return the options with some of them changed; `Flow` and `Task` say how."""
        raise NotImplementedError

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name, defaults included.

        Raises:
            ParameterError: they do not match the function.
        """
        if not kwargs and self._binds_trivially and len(args) == len(self._parameter_names):
            return dict(zip(self._parameter_names, args, strict=True))
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterError(f"invalid arguments for {self.name!r}: {error}") from error
        bound.apply_defaults()
        return bound.arguments

    def call_arguments(self, parameters: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return parameters by name as positional and keyword arguments of a call."""
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
        """Return the function bound as a method; None if it needs no binding."""
        if isinstance(self._origin, staticmethod):
            return None
        if isinstance(self._origin, classmethod):
            return types.MethodType(self.fn, owner)
        return None if instance is None else types.MethodType(self.fn, instance)


FlowFunction = Decorated[FlowOptions]
"""A flow, for the modules that `flow` imports."""
TaskFunction = Decorated[TaskOptions]
"""A task, for the modules that `task` imports."""
