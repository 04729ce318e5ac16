"""The functions that run while a flow is traced: its own and those that it refers to, which run rewritten."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from penstock.authoring.compilation.program.one_pod import functions_referred_to
from penstock.authoring.compilation.program.rewriting import HOOK, rewrite
from penstock.authoring.function import FlowFunction

_MISSING: Final = object()


class HelperFunctions:
    """The functions of a flow: that of the flow, and the user's functions that it can call.

    Args:
        flow: the flow.
    """

    def __init__(self, flow: FlowFunction) -> None:
        self._rewritten: dict[types.FunctionType, types.CodeType] = {}
        fn = inspect.unwrap(flow.fn)
        fn = getattr(fn, "__func__", fn)
        # Those of its module may be found by `getattr()`, `globals()` and the like.
        of_module = [each for each in getattr(fn, "__globals__", {}).values() if isinstance(each, types.FunctionType)]
        for each in functions_referred_to(fn, *of_module):
            made = rewrite(each)
            if made is not None:
                self._rewritten[each] = made

    @contextmanager
    def rewritten(self, hook: Any) -> Iterator[None]:
        """Let the functions run rewritten in the block.

        Args:
            hook: an object with the methods of `operations.Rewritten`.
        """
        originals = {each: each.__code__ for each in self._rewritten}
        scopes = {id(each.__globals__): each.__globals__ for each in originals}.values()
        before = [(scope, scope.get(HOOK, _MISSING)) for scope in scopes]
        try:
            for scope in scopes:
                scope[HOOK] = hook
            for function, made in self._rewritten.items():
                function.__code__ = made
            yield
        finally:
            for function, original in originals.items():
                function.__code__ = original
            for scope, value in before:
                if value is _MISSING:
                    del scope[HOOK]
                else:
                    scope[HOOK] = value
