"""The cache of task outputs, within one local run and its child runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import AskCache, ReleaseCacheLock
from penstock.engine.machine.facts import CacheBusy, CacheHit, CacheMiss, Fact

Report = Callable[[Fact], None]


class _Holder(NamedTuple):
    run: str
    key: TaskInstanceKey


class _Question(NamedTuple):
    run: str
    ask: AskCache
    report: Report


@dataclass(slots=True)
class _Entry:
    """A key of the cache.

    Attributes:
        holder: the task instance that computes the outputs now.
        outputs: the outputs.
        source: the run that computed them.
        expires_at: seconds since the epoch.
        waiting: those that wait for the holder.
    """

    holder: _Holder | None = None
    outputs: Mapping[str, Any] | None = None
    source: str = ""
    expires_at: float = 0.0
    waiting: list[_Question] = field(default_factory=list)


class Cache:
    """Holds the outputs of tasks that have a cache key."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}

    def look_up(self, scope: str, run: str, ask: AskCache, *, now: float, report: Report) -> None:
        """Answer a question, now or when the task instance that computes the outputs has finished.

        Args:
            scope: which runs share outputs.
            run: name of the run that asks.
            ask: the question.
            now: seconds since the epoch.
            report: called with each answer.
        """
        entry = self._entries.setdefault((scope, ask.digest), _Entry())
        self._answer(entry, _Question(run, ask, report), now)

    def store_outputs(self, scope: str, run: str, release: ReleaseCacheLock, *, now: float) -> None:
        """Store outputs, or that there are none, and answer those that wait."""
        entry = self._entries.setdefault((scope, release.digest), _Entry())
        waiting = [one for one in entry.waiting if (one.run, one.ask.key) != (run, release.key)]
        if entry.holder == _Holder(run, release.key):
            entry.holder = None
        if release.outputs is not None:
            entry.outputs, entry.source, entry.expires_at = dict(release.outputs), run, now + release.ttl_s
        entry.waiting = []
        for question in waiting:
            self._answer(entry, question, now)

    def _answer(self, entry: _Entry, question: _Question, now: float) -> None:
        key = question.ask.key
        if entry.outputs is not None and entry.expires_at > now:
            question.report(CacheHit(key, dict(entry.outputs), entry.source))
        elif entry.holder is None or entry.holder == _Holder(question.run, key):
            entry.holder = _Holder(question.run, key)
            question.report(CacheMiss(key))
        else:
            entry.waiting.append(question)
            question.report(CacheBusy(key, f"run {entry.holder.run} runs it"))
