"""The functions that run while a flow is traced: its own and those that it calls, which run rewritten.

Which ones it calls is noted while it is traced; if one of them was not rewritten, the flow is traced again.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from penstock.authoring.compilation.code_location import is_inside
from penstock.authoring.compilation.rewriting import HOOK, rewrite
from penstock.authoring.compilation.symbols import Symbol

_MISSING: Final = object()


class HelperFunctions:
    """The functions that a flow has called so far."""

    def __init__(self) -> None:
        self._noted: dict[int, types.CodeType] = {}
        """By id: to hash code takes long, and equal code of two functions is theirs."""
        self._called: list[types.CodeType] = []
        self._rewritten: dict[types.FunctionType, types.CodeType] = {}

    def add_called(self) -> bool:
        """Rewrite the functions that were called since, and return whether this changes any of them."""
        called, self._called = self._called, []
        count = len(self._rewritten)
        for code in called:
            for each in gc.get_referrers(code):
                if isinstance(each, types.FunctionType) and each.__code__ is code:
                    made = rewrite(each)
                    if made is not None:
                        self._rewritten[each] = made
        return len(self._rewritten) > count

    @contextmanager
    def rewritten(self, hook: Any) -> Iterator[None]:
        """Let the functions run rewritten in the block, and note others that are called in it.

        Args:
            hook: an object with the methods of `operations.Rewritten`.
        """
        originals = {each: each.__code__ for each in self._rewritten}
        scopes = {id(each.__globals__): each.__globals__ for each in originals}.values()
        before = [(scope, scope.get(HOOK, _MISSING)) for scope in scopes]
        profiler = sys.getprofile()
        try:
            for scope in scopes:
                scope[HOOK] = hook
            for function, made in self._rewritten.items():
                function.__code__ = made
            sys.setprofile(self._note)
            yield
        finally:
            sys.setprofile(profiler)
            for function, original in originals.items():
                function.__code__ = original
            for scope, value in before:
                if value is _MISSING:
                    del scope[HOOK]
                else:
                    scope[HOOK] = value

    def _note(self, frame: types.FrameType, event: str, _: Any) -> None:
        """Note a call of the user's functions, and of those of libraries that get a symbol."""
        code = frame.f_code
        if event != "call" or id(code) in self._noted:
            return
        is_ours = is_inside(code.co_filename)
        if is_ours or "site-packages" not in code.co_filename or any(map(_is_symbol, frame.f_locals.values())):
            self._noted[id(code)] = code
            if not is_ours:
                self._called.append(code)


def _is_symbol(value: Any) -> bool:
    """Whether an argument is a symbol; of `*args` and `**kwargs`, whether one of them is."""
    if type(value) is tuple or type(value) is dict:
        return any(isinstance(each, Symbol) for each in (value.values() if type(value) is dict else value))
    return isinstance(value, Symbol)
