"""Limits: how many at once, or how many in a time, across the flows and tasks of this process.

They are set by the environment variable `PENSTOCK_LIMITS`: `database=5 api=100/1m tag:etl=2` means five slots of
`database`, a hundred of `api` in each minute, and two task runs with the tag `etl` at once.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from penstock.authoring.backend import current_backend
from penstock.authoring.loggers import FLOW_LOGGER
from penstock.authoring.runs.futures import SLICE_S, SLOT
from penstock.authoring.runs.runs import FLOW_RUN
from penstock.errors import LimitError

VARIABLE: Final = "PENSTOCK_LIMITS"
TAG: Final = "tag:"
"""What the names of limits of tags begin with."""
_ENTRY: Final = re.compile(r"(?P<name>[^=\s,]+)=(?P<slots>[1-9]\d*)(?:/(?P<count>[1-9]\d*)?(?P<unit>[smh]))?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


class Rule(NamedTuple):
    """One limit, as it is written."""

    slots: int
    period_s: float | None
    """In which time the slots become free again; None if they are released by those who hold them."""


def read_limits(text: str) -> dict[str, Rule]:
    """Return the limits that a text sets.

    Raises:
        LimitError: an entry is invalid.
    """
    rules: dict[str, Rule] = {}
    for entry in text.replace(",", " ").split():
        match = _ENTRY.fullmatch(entry)
        if match is None or match["name"] == TAG:
            raise LimitError(f"{VARIABLE}: invalid entry {entry!r}: write name=5, name=100/1m or tag:name=2")
        if match["name"] in rules:
            raise LimitError(f"{VARIABLE} sets {match['name']!r} twice: remove one of the entries")
        unit = match["unit"]
        rules[match["name"]] = Rule(
            int(match["slots"]), None if unit is None else int(match["count"] or 1) * _SECONDS[unit]
        )
    return rules


class _Limit:
    """The free slots of one limit."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._free = float(rule.slots)
        self._at = time.monotonic()

    def missing_s(self, slots: int) -> float | None:
        """Return when so many slots will be free, in seconds; 0 for now, None if a holder has to release them."""
        self._refill()
        if self._free >= slots:
            return 0.0
        if self.rule.period_s is None:
            return None
        return (slots - self._free) * self.rule.period_s / self.rule.slots

    def take_slots(self, slots: int) -> None:
        self._free -= slots

    def give_back(self, slots: int) -> None:
        if self.rule.period_s is None:
            self._free += slots

    def _refill(self) -> None:
        if self.rule.period_s is None:
            return
        now = time.monotonic()
        self._free = min(self.rule.slots, self._free + (now - self._at) * self.rule.slots / self.rule.period_s)
        self._at = now


class Limits:
    """The limits of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text: str | None = None
        self._limits: dict[str, _Limit] = {}
        self._waiters: dict[Callable[[], object], None] = {}
        """Each once, however often it has tried since."""

    def find(self, names: Iterable[str]) -> list[str]:
        """Return those of some names that are limited."""
        text = os.environ.get(VARIABLE, "")
        if text != self._text:
            rules = read_limits(text)
            with self._lock:
                kept = {name: limit for name, limit in self._limits.items() if rules.get(name) == limit.rule}
                self._limits = {name: kept.get(name) or _Limit(rule) for name, rule in rules.items()}
                self._text = text
        return [name for name in names if name in self._limits]

    def check(self, names: Iterable[str], slots: int, *, is_rate: bool) -> None:
        """Refuse what could never succeed.

        Raises:
            LimitError: a limit has too few slots, or no rate.
        """
        for name in names:
            rule = self._limits[name].rule
            if slots > rule.slots:
                raise LimitError(f"limit {name!r} has {rule.slots} slots, fewer than the {slots} requested")
            if is_rate and rule.period_s is None:
                raise LimitError(f"limit {name!r} has no rate: write {VARIABLE}='{name}={rule.slots}/1m'")

    def explain_wait(self, names: Iterable[str], slots: int, *, is_endless: bool) -> None:
        """Warn of limits of which callers of this code hold slots, while it waits for them.

        Raises:
            LimitError: the wait could not end, because the caller waits for this.
        """
        around, of_submitter = _held_around()
        for name in names:
            limit = self._limits.get(name)
            if limit is None or limit.rule.period_s is not None:
                continue
            total = limit.rule.slots
            if is_endless and slots + around.get(name, 0) > total:
                raise LimitError(
                    f"limit {name!r} has {total} slots, and the code around holds {around[name]} of them while it waits"
                    " for this: raise the limit, or do not limit both"
                )
            held = around.get(name, 0) + of_submitter.get(name, 0)
            if is_endless and slots + held > total:
                FLOW_LOGGER.warning(
                    "waiting for limit %r, of which the code that started this holds %d of %d slots: it never starts if"
                    " that code waits for it",
                    name,
                    held,
                    total,
                )

    def try_take(self, names: Sequence[str], slots: int, waiter: Callable[[], object]) -> float | None:
        """Take slots of all limits, or of none.

        Args:
            names: the limits.
            slots: how many of each.
            waiter: called once when slots have been released, if they were not taken.

        Returns:
            0 if they were taken; else when to try again, in seconds; None for when the waiter is called.
        """
        with self._lock:
            waits = [self._limits[name].missing_s(slots) for name in names]
            if all(wait == 0 for wait in waits):
                for name in names:
                    self._limits[name].take_slots(slots)
                return 0.0
            if None in waits:
                self._waiters[waiter] = None
            known = [wait for wait in waits if wait]
            return max(known) if known else None

    def release(self, names: Iterable[str], slots: int) -> None:
        """Give slots back."""
        with self._lock:
            for name in names:
                if name in self._limits:
                    self._limits[name].give_back(slots)
            waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter()


LIMITS: Final = Limits()
_WARNING: Final = threading.Lock()
_WARNED: Final[dict[str, Any]] = {}
"""Limits that do not exist, with the flow run in which there was a warning last."""


class _Held(NamedTuple):
    """The slots that the code around holds."""

    owner: tuple[int, int]
    """The thread and the asyncio task that hold them: code that runs elsewhere was started by them."""
    slots: Mapping[str, int]


_HELD: Final[ContextVar[_Held | None]] = ContextVar("penstock_held", default=None)
_OF_SUBMITTER: Final[ContextVar[Mapping[str, int]]] = ContextVar("penstock_of_submitter", default=MappingProxyType({}))
"""What the code held that started this, and may wait for it or not."""


def enter_submitted() -> None:
    """Begin the context of a task run that runs concurrently with the code that submitted it."""
    around, of_submitter = _held_around()
    _OF_SUBMITTER.set({**of_submitter, **around})
    _HELD.set(None)


def _held_around() -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the slots of the code that waits for this, and of the code that started this."""
    held, of_submitter = _HELD.get(), _OF_SUBMITTER.get()
    if held is None:
        return {}, of_submitter
    return (held.slots, of_submitter) if held.owner == _current() else ({}, {**of_submitter, **held.slots})


def _current() -> tuple[int, int]:
    asyncio = sys.modules.get("asyncio")
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None  # no event loop runs in this thread
    return threading.get_ident(), id(task)


def _change_held(names: Iterable[str], slots: int) -> None:
    # Not with tokens: a generator may end in another context.
    around, of_submitter = _held_around()
    _OF_SUBMITTER.set(of_submitter)
    _HELD.set(_Held(_current(), {**around, **{name: max(around.get(name, 0) + slots, 0) for name in names}}))


@contextmanager
def held(
    names: Sequence[str], slots: int = 1, timeout_s: float | None = None, *, is_rate: bool = False
) -> Iterator[None]:
    """Hold slots of limits that exist.

    Raises:
        LimitError: they can never be acquired.
        TimeoutError: they were not free in time.
    """
    LIMITS.check(names, slots, is_rate=is_rate)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    event = threading.Event()
    is_explained = False
    while (wait_s := LIMITS.try_take(names, slots, event.set)) != 0:
        if not is_explained:
            LIMITS.explain_wait(names, slots, is_endless=deadline is None)
            is_explained = True
        left_s = _left_s(names, deadline, wait_s)
        slot = SLOT.get()
        with nullcontext() if slot is None else slot.released():
            # In slices, because a thread that waits can't be interrupted.
            event.wait(min(left_s, SLICE_S))
        event.clear()
    _change_held(names, slots)
    try:
        yield
    finally:
        _change_held(names, -slots)
        LIMITS.release(names, slots)


@asynccontextmanager
async def held_async(
    names: Sequence[str], slots: int = 1, timeout_s: float | None = None, *, is_rate: bool = False
) -> AsyncIterator[None]:
    """Hold slots as `held` does, without blocking the event loop."""
    import asyncio  # noqa: PLC0415 - code that awaits has loaded it

    LIMITS.check(names, slots, is_rate=is_rate)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(event.set)

    is_explained = False
    while (wait_s := LIMITS.try_take(names, slots, wake)) != 0:
        if not is_explained:
            LIMITS.explain_wait(names, slots, is_endless=deadline is None)
            is_explained = True
        left_s = _left_s(names, deadline, wait_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, SLICE_S)):
                await event.wait()
        event.clear()
    _change_held(names, slots)
    try:
        yield
    finally:
        _change_held(names, -slots)
        LIMITS.release(names, slots)


def _left_s(names: Sequence[str], deadline: float | None, wait_s: float | None) -> float:
    left_s = SLICE_S if wait_s is None else wait_s
    if deadline is None:
        return left_s
    if (until_s := deadline - time.monotonic()) <= 0:
        raise TimeoutError(f"no slots of {', '.join(names)} were free in time")
    return min(left_s, until_s)


def limits_of(tags: Iterable[str]) -> list[str]:
    """Return the limits of the tags of a task run.

    Raises:
        NotOfferedError: there are some, and this is a Pod.
    """
    if found := tag_limits(tags):
        current_backend().check_limits()
    return found


def tag_limits(tags: Iterable[str]) -> list[str]:
    """Return the limits of some tags, wherever this code runs."""
    return LIMITS.find([TAG + tag for tag in sorted(tags)])


def existing(names: str | Sequence[str], *, is_strict: bool) -> list[str]:
    """Return those of some limits that exist, after asking whether limits hold where this code runs.

    Raises:
        LimitError: a limit does not exist, and the caller is strict about it.
        NotOfferedError: this is a Pod, or the code is being compiled: limits hold within one process.
    """
    current_backend().check_limits()
    wanted = [names] if isinstance(names, str) else list(names)
    found = LIMITS.find(wanted)
    if missing := [name for name in wanted if name not in found]:
        text = f"limit {missing[0]!r} does not exist: set {VARIABLE}='{missing[0]}=5'"
        if is_strict:
            raise LimitError(text)
        # Once for each run of a flow: a mapped task asks for each of its items.
        run = FLOW_RUN.get()
        with _WARNING:
            is_known = run is not None and _WARNED.get(missing[0]) == run.id
            _WARNED[missing[0]] = run and run.id
        if not is_known:
            FLOW_LOGGER.warning("%s; not limited", text)
    return found


@contextmanager
def concurrency(
    names: str | list[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,  # noqa: ARG001 - nothing is leased within a process
    strict: bool = False,  # noqa: FBT001, FBT002 - Prefect's signature
    **_: Any,
) -> Iterator[None]:
    """Hold slots of limits while the block runs.

    Args:
        names: the limits; those that do not exist do not limit.
        occupy: how many slots of each.
        timeout_seconds: maximum wait; None for no limit.
        max_retries: 0 not to wait; other numbers have no meaning, because nothing is polled.
        lease_duration: has no meaning here.
        strict: raise if a limit does not exist.

    Raises:
        LimitError: a limit does not exist, and strict is set; or it has too few slots.
        TimeoutError: the slots were not free in time.
    """
    with held(existing(names, is_strict=strict), occupy, 0.0 if max_retries == 0 else timeout_seconds):
        yield


def rate_limit(
    names: str | list[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,  # noqa: FBT001, FBT002 - Prefect's signature
) -> None:
    """Wait until slots are free; they become free again by time. Arguments and errors are those of `concurrency`."""
    with held(existing(names, is_strict=strict), occupy, timeout_seconds, is_rate=True):
        pass


@asynccontextmanager
async def concurrency_async(
    names: str | list[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,  # noqa: ARG001 - as above
    strict: bool = False,  # noqa: FBT001, FBT002 - Prefect's signature
    **_: Any,
) -> AsyncIterator[None]:
    """Hold slots in a coroutine, as `concurrency` does in a function."""
    async with held_async(existing(names, is_strict=strict), occupy, 0.0 if max_retries == 0 else timeout_seconds):
        yield


async def rate_limit_async(
    names: str | list[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,  # noqa: FBT001, FBT002 - Prefect's signature
) -> None:
    """Wait in a coroutine, as `rate_limit` does in a function."""
    async with held_async(existing(names, is_strict=strict), occupy, timeout_seconds, is_rate=True):
        pass
