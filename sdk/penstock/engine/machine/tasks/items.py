"""The items of a fan-out: which have finished and how, which run, which have not started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from penstock.engine.intervals import decode_intervals, encode_intervals
from penstock.engine.machine.tasks.task_instance import Clocks, TaskInstance
from penstock.engine.state import FINAL_TASK_STATES, UNSUCCESSFUL_TASK_STATES, TaskState
from penstock.errors import StoredStatusError

GATHERED_OUTPUTS_BYTES: Final = 32 * 1024
"""Most bytes of items' outputs, as compact JSON, that a task's entry gathers."""
KEPT_FAILURES: Final = 10
"""Failed attempts of items that a task's entry shows."""

_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))
_NOT_STARTED, _LIVE = 0, 1
_CODE = {state: number for number, state in enumerate(sorted(FINAL_TASK_STATES), start=2)}
_STATE = {number: state for state, number in _CODE.items()}


def json_size(outputs: dict[str, Any] | None) -> int:
    """Return the bytes of outputs as compact JSON; 0 for none."""
    return 0 if outputs is None else len(_COMPACT.encode(outputs).encode())


class Items:
    """The items of one fan-out.

    A finished item costs one byte and its place in the gathered outputs; only live items are objects.

    Args:
        total: number of items.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.live: dict[int, TaskInstance] = {}
        self.failed: list[dict[str, Any]] = []
        self._codes = bytearray(total)
        self._not_started = total
        self._cursor = 0
        self._outputs: dict[int, Any] | None = {}
        self._outputs_bytes = 2 + 5 * total
        self.counts: dict[TaskState, int] = {}
        self.started_at: float | None = None
        """When the first container of an item started, seconds since the epoch."""

    @property
    def has_unstarted(self) -> bool:
        """Whether some item has not started."""
        return self._not_started > 0

    @property
    def failures(self) -> int:
        """Number of items that did not succeed."""
        return sum(count for state, count in self.counts.items() if state in UNSUCCESSFUL_TASK_STATES)

    @property
    def skipped(self) -> int:
        """Number of items that have not run, although they were started."""
        return self.counts.get(TaskState.SKIPPED, 0)

    @property
    def unstarted(self) -> int:
        """Number of items that have not started."""
        return self._not_started

    def is_item_finished(self, index: int) -> bool:
        """Whether an item has finished; one that does not exist, as a Pod may claim to be, has not."""
        return 0 <= index < self.total and self._codes[index] > _LIVE

    def start_next_item(self) -> int:
        """Make the first item that has not started live, and return its index."""
        self._cursor = self._codes.index(_NOT_STARTED, self._cursor)
        index = self._cursor
        self.begin_item(index)
        return index

    def begin_item(self, index: int) -> TaskInstance:
        """Return a live item; makes it live if it had not started."""
        instance = self.live.get(index)
        if instance is None:
            instance = self.live[index] = TaskInstance()
            self._codes[index] = _LIVE
            self._not_started -= 1
        return instance

    def finish_item(self, index: int, outputs: dict[str, Any] | None) -> TaskInstance:
        """Move a live item to the final state that it has reached."""
        instance = self.live.pop(index)
        self._codes[index] = _CODE[instance.state]
        self.counts[instance.state] = self.counts.get(instance.state, 0) + 1
        if outputs is not None:
            self._gather(index, outputs)
        return instance

    def record_failure(self, attempt: dict[str, Any]) -> None:
        """Keep a failed attempt in the status."""
        self.failed = [*self.failed[1 - KEPT_FAILURES :], attempt]

    def latest_failures(self) -> list[dict[str, Any]]:
        """Return the last failed attempt of each item that did not succeed, as far as they are kept."""
        last = {attempt["index"]: attempt for attempt in self.failed}
        return [last[index] for index in sorted(last) if self._is_unsuccessful(last[index])]

    def latest_failure(self) -> dict[str, Any] | None:
        """Return the last failed attempt of an item that did not succeed; None if none is kept."""
        return next((each for each in reversed(self.failed) if self._is_unsuccessful(each)), None)

    def gathered_outputs(self) -> list[Any] | None:
        """Return the outputs of all items in order, null where there are none; None when they are too many to keep."""
        if self._outputs is None:
            return None
        return [self._outputs.get(index) for index in range(self.total)]

    @property
    def outputs_bytes(self) -> int:
        """Bytes of the gathered outputs as compact JSON."""
        return self._outputs_bytes if self._outputs else 0

    @property
    def has_outputs(self) -> bool:
        """Whether some item gave outputs that are kept."""
        return bool(self._outputs)

    @property
    def are_outputs_dropped(self) -> bool:
        """Whether the items' outputs were too many to keep."""
        return self._outputs is None

    def _is_unsuccessful(self, attempt: Mapping[str, Any]) -> bool:
        return _STATE.get(self._codes[attempt["index"]]) in UNSUCCESSFUL_TASK_STATES

    def _gather(self, index: int, outputs: dict[str, Any]) -> None:
        if self._outputs is None:
            return
        # Missing outputs count as `null,`, so that the sum does not depend on the order in which items end.
        self._outputs_bytes += json_size(outputs) - len("null")
        if self._outputs_bytes > GATHERED_OUTPUTS_BYTES:
            self._outputs = None
        else:
            self._outputs[index] = outputs

    def entry(self, clocks: Clocks) -> dict[str, Any]:
        """Return what the status keeps."""
        entry: dict[str, Any] = {"total": self.total}
        counts = {str(state): count for state, count in sorted(self.counts.items())}
        for instance in self.live.values():
            counts[instance.state] = counts.get(instance.state, 0) + 1
        if counts:
            entry["counts"] = counts
        indexes = {str(state): encode_intervals(self._in_state(_CODE[state])) for state in sorted(self.counts)}
        if indexes:
            entry["indexes"] = indexes
        if self.live:
            entry["live"] = [self.live[index].live_entry(index, clocks) for index in sorted(self.live)]
        if self.failed:
            entry["failed"] = self.failed
        if self._outputs is None:
            entry["outputsDropped"] = True
        return entry

    def _in_state(self, code: int) -> Iterator[int]:
        position = self._codes.find(code)
        while position >= 0:
            yield position
            position = self._codes.find(code, position + 1)

    @classmethod
    def restore(cls, entry: Mapping[str, Any], outputs: list[Any] | None) -> Items:
        """Build the items from a stored entry.

        Raises:
            StoredStatusError: the entry has invalid indexes.
        """
        items = cls(entry["total"])
        try:
            for name, text in entry.get("indexes", {}).items():
                state = TaskState(name)
                for index in islice(decode_intervals(text), items.total):
                    items._codes[index] = _CODE[state]
                    items.counts[state] = items.counts.get(state, 0) + 1
                    items._not_started -= 1
            for live in entry.get("live", ()):
                items.begin_item(live["index"])
                items.live[live["index"]] = TaskInstance.restore(live)
        except (IndexError, KeyError, ValueError) as error:
            raise StoredStatusError(f"cannot read stored items: {error}") from error
        items.failed = list(entry.get("failed", ()))
        if entry.get("outputsDropped"):
            items._outputs = None
        for index, value in enumerate(outputs or ()):
            if value is not None:
                items._gather(index, value)
        return items
