"""Nodes: the calls that a flow makes, each of which becomes a task of the Flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.authoring.compilation.changes import Changes
from penstock.authoring.compilation.params import FlowParam
from penstock.authoring.compilation.program.code_location import (
    CodeLocation,
    current_location,
    is_flow_function_at_work,
)
from penstock.authoring.compilation.program.handlers import Handlers
from penstock.authoring.compilation.slots import Slots, Template
from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.runs.runs import TAGS


class Scope:
    """What all calls of a flow share while it is traced.

    Args:
        params: the params of the flow, by name.
        handlers: finds exception handlers.
        is_storage_of_run: whether stored results are deleted with the run.
    """

    def __init__(self, params: Mapping[str, FlowParam], handlers: Handlers, *, is_storage_of_run: bool) -> None:
        self.params = params
        self.handlers = handlers
        self.is_storage_of_run = is_storage_of_run
        self.barrier: dict[Node, bool] = {}
        """The nodes that all further calls wait for, and whether they must have completed."""


class Node:
    """One call of the flow's function: a task of the Flow.

    Args:
        scope: what all calls of the flow share.
        name: name of the task, unique in the Flow.
        location: where it was called.
        task: the Python task; None for an approval and a flow.
        flow: the Python flow.
        approval: message and timeout of an approval.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        name: str,
        location: CodeLocation,
        task: TaskFunction | None = None,
        flow: FlowFunction | None = None,
        approval: dict[str, Any] | None = None,
    ) -> None:
        self.scope = scope
        self.name = name
        self.location = location
        self.task = task
        self.flow = flow
        self.approval = approval
        self.slots = Slots()
        self.lengths: list[list[int]] = []
        """Pairs of slots whose values must be equal: lengths of mapped arguments."""
        self.arguments: dict[str, Template] = {}
        self.needs: dict[Node, bool] = dict(scope.barrier)
        """The nodes that must finish first, and whether they must have completed."""
        self.fan_out: FanOut | None = None
        self.tags = TAGS.get() | (task.options.tags if task is not None else frozenset())
        self.is_awaited = False
        self.is_gathered = False
        """Whether another node uses results of items."""
        self.is_counted = False
        """Whether another node uses the length of the result."""
        self.is_failure_seen = False
        self.is_success_expected = False
        self.params: dict[str, Any] = {}
        """The params of a child flow, as in the manifest."""
        self.changes: Changes = []
        """The lines that may have changed its result in place."""
        self.plain_for: str | None = None
        """What needs the result as plain JSON, for messages."""

    @property
    def is_tolerated(self) -> bool:
        """Whether the flow continues, and may complete, if this fails."""
        return self.is_failure_seen and not self.is_success_expected

    def depend_on(self, other: Node, *, is_success_needed: bool) -> None:
        """Add a dependency."""
        self.needs[other] = is_success_needed or self.needs.get(other, False)

    def expect_success(self) -> None:
        """Have the flow fail if this node or one that it depends on fails."""
        found = [self]
        while found:
            node = found.pop()
            if not node.is_success_expected:
                node.is_success_expected = True
                found += (other for other, is_success_needed in node.needs.items() if is_success_needed)

    def wait_for_success(self) -> None:
        """Have all further calls wait until this has completed."""
        self._refuse_handler()
        self.is_awaited = True
        self.expect_success()
        barrier = self.scope.barrier
        for other in self.needs:
            barrier.pop(other, None)
        barrier[self] = True

    def wait_for_end(self) -> None:
        """Have all further calls wait until this has finished."""
        self._refuse_handler()
        self.is_awaited = self.is_failure_seen = True
        barrier = self.scope.barrier
        for other, is_success_needed in self.needs.items():
            if not is_success_needed:
                barrier.pop(other, None)
        barrier.setdefault(self, False)

    def _refuse_handler(self) -> None:
        # The event loop waits for what is gathered: then no line of the flow is on the stack.
        location = current_location() if is_flow_function_at_work() else None
        self.scope.handlers.refuse(f"{self.name!r} is waited for", location or self.location, called_at=location)

    def comparable(self) -> Any:
        """Return all that is known of the call, for comparison."""
        needs = {other.name: is_success_needed for other, is_success_needed in self.needs.items()}
        return self.name, self.arguments, self.params, self.approval, self.slots.expressions, self.fan_out, needs

    def bind_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given arguments by name."""
        decorated = self.task or self.flow
        assert decorated is not None
        try:
            return dict(decorated.signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise self.location.compile_error(f"invalid arguments for {decorated.name!r}", str(error)) from error


class FanOut(NamedTuple):
    """The items of a mapped task."""

    for_each: dict[str, Any]
    """The field of the manifest."""
    total: str
    """An expression for the number of items."""
