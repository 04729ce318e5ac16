"""Nodes: the calls that a flow makes, each of which becomes a task of the Flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.authoring.compilation.params import FlowParam
from penstock.authoring.compilation.place import Place
from penstock.authoring.compilation.slots import Slots, Template
from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.runs import TAGS


class Scope:
    """What all calls of a flow share while it is traced.

    Args:
        params: the params of the flow, by name.
        is_storage_of_run: whether results that are stored go with the run.
    """

    def __init__(self, params: Mapping[str, FlowParam], *, is_storage_of_run: bool) -> None:
        self.params = params
        self.is_storage_of_run = is_storage_of_run
        self.barrier: dict[Node, bool] = {}
        """What everything from now on waits for, and whether it must have completed."""


class Node:
    """One call that the flow makes: a task of the Flow.

    Args:
        scope: what all calls of the flow share.
        name: name of the task, unique in the Flow.
        place: where it was called.
        task: the Python task; None for an approval and a flow.
        flow: the Python flow.
        approval: what is asked, and for how long.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        name: str,
        place: Place,
        task: TaskFunction | None = None,
        flow: FlowFunction | None = None,
        approval: dict[str, Any] | None = None,
    ) -> None:
        self.scope = scope
        self.name = name
        self.place = place
        self.task = task
        self.flow = flow
        self.approval = approval
        self.slots = Slots()
        self.lengths: list[list[int]] = []
        """Pairs of slots that must be the same number: lengths of mapped arguments."""
        self.arguments: dict[str, Template] = {}
        self.needs: dict[Node, bool] = dict(scope.barrier)
        """What must be over first, and whether it must have completed."""
        self.fan_out: FanOut | None = None
        self.tags = TAGS.get() | (task.options.tags if task is not None else frozenset())
        self.is_awaited = False
        self.is_gathered = False
        """Whether results of items are wanted by another."""
        self.is_counted = False
        """Whether the length of the result is wanted."""
        self.is_failure_seen = False
        self.is_success_expected = False
        self.params: dict[str, Any] = {}
        """Of a child flow: its params as the manifest has them."""
        self.plain_for: str | None = None
        """Who needs the result as JSON, in the words of a message."""

    @property
    def is_tolerated(self) -> bool:
        """Whether the flow goes on, and may complete, if this fails."""
        return self.is_failure_seen and not self.is_success_expected

    def depend(self, other: Node, *, is_success_needed: bool) -> None:
        """Wait for another."""
        self.needs[other] = is_success_needed or self.needs.get(other, False)

    def expect_success(self) -> None:
        """Have the flow fail if this fails, and if anything fails that it can't do without."""
        found = [self]
        while found:
            node = found.pop()
            if not node.is_success_expected:
                node.is_success_expected = True
                found += (other for other, is_success_needed in node.needs.items() if is_success_needed)

    def wait_for_success(self) -> None:
        """Have all that is called from now on wait until this has completed."""
        self.is_awaited = True
        self.expect_success()
        barrier = self.scope.barrier
        for other in self.needs:
            barrier.pop(other, None)
        barrier[self] = True

    def wait_for_end(self) -> None:
        """Have all that is called from now on wait until this is over."""
        self.is_awaited = self.is_failure_seen = True
        barrier = self.scope.barrier
        for other, is_success_needed in self.needs.items():
            if not is_success_needed:
                barrier.pop(other, None)
        barrier.setdefault(self, False)

    def written(self) -> Any:
        """Return all that is known of the call, to be compared."""
        needs = {other.name: is_success_needed for other, is_success_needed in self.needs.items()}
        return self.name, self.arguments, self.params, self.approval, self.slots.expressions, self.fan_out, needs

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, without those that are not given."""
        decorated = self.task or self.flow
        assert decorated is not None
        try:
            return dict(decorated.signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise self.place.refuse(f"{decorated.name!r} can't be called so", str(error)) from error


class FanOut(NamedTuple):
    """The items of a mapped task."""

    for_each: dict[str, Any]
    """The field of the manifest."""
    total: str
    """An expression for the number of items."""
