"""How much the expressions may cost that are evaluated one after the other where everything else waits for them.

One cheap expression takes milliseconds, and a task may have a thousand of them. So each thread adds up what its
evaluations cost, and whoever evaluates several sets a limit for all together. Beyond it an expression is refused as one
that is expensive by itself would be. Costs are computed, not measured: the same expressions are refused everywhere.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Final

UNLIMITED: Final = sys.maxsize
FIELDS_COST: Final = 100_000_000
"""Of the expressions that are evaluated together and cannot wait: the params of a tick or an event, the patterns of
a run's params."""


class _Account(threading.local):
    """Of one thread."""

    spent = 0
    limit = UNLIMITED
    most_at_once: int | None = None


_account: Final = _Account()


def spent() -> int:
    """Return what the evaluations of this thread have cost since it began."""
    return _account.spent


def spend(cost: int) -> None:
    """Add a cost that arose anyway."""
    _account.spent += cost


def may_spend(cost: int) -> bool:
    """Add a cost if it is within the limit; returns whether it is."""
    account = _account
    if account.most_at_once is None:
        if account.spent + cost > account.limit:
            return False
    elif cost > account.most_at_once:
        return False
    account.spent += cost
    return True


def is_spent() -> bool:
    """Whether the limit of this thread is reached."""
    return _account.most_at_once is None and _account.spent >= _account.limit


def limit_each(most_at_once: int) -> None:
    """Let this thread spend any sum, but no more than this at once: for a thread for which nothing waits."""
    _account.most_at_once = most_at_once


class limited:  # noqa: N801 - read as a statement: with limited(cost)
    """A context in which this thread spends no more than a cost, nor more than the limit outside.

    Args:
        cost: the most.
    """

    __slots__ = ("_before", "_cost")

    def __init__(self, cost: int) -> None:
        self._cost = cost

    def __enter__(self) -> None:
        account = _account
        self._before = account.limit
        account.limit = self._limit(account)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _account.limit = self._before

    def _limit(self, account: _Account) -> int:
        return min(self._before, account.spent + self._cost)


class unlimited(limited):  # noqa: N801 - as above
    """A context for expressions that cannot wait: each is cheap by itself, and the limit outside does not hold.

    What they cost counts: whoever evaluates many asks `is_spent` between them.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(UNLIMITED)

    def _limit(self, _account: _Account) -> int:
        return UNLIMITED
