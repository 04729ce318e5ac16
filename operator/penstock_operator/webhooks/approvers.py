"""Who may decide about the approvals of a run, by what the run is made of, or will be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_run import FlowRunSpec
from penstock.engine.compiler.task_plan import ApproversPlan
from penstock.engine.validation.parsing import parse_run
from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.resources import CONFIGMAPS, FLOWRUNS
from penstock_operator.flows.revision import read_spec
from penstock_operator.webhooks.admission import Lookup

READ_S: Final = 2.0
"""Of each object: the API server waits for admission's answer."""


class ApproversLookup:
    """Finds them.

    Args:
        client: the way to the API server.
        find_flow: finds Flows.
    """

    def __init__(self, client: ApiClient, find_flow: Lookup) -> None:
        self._client = client
        self._find_flow = find_flow

    async def find(self, namespace: str, run: Mapping[str, Any]) -> Mapping[str, ApproversPlan]:
        """Return who may decide, by task: those tasks of a run that say so.

        A run that has not begun is judged by its Flow as it is now; one that names nothing that exists, by nothing. The
        operator judges the recorded decision again, by the revision that the run really has.

        Args:
            namespace: of the run.
            run: the FlowRun.

        Raises:
            InvalidSpecError: its spec, or that of its Flow, is invalid.
            PenstockError: what it is made of could not be read.
        """
        spec = await self._spec(namespace, parse_run(run), (run.get("status") or {}).get("revision"))
        if spec is None:
            return {}
        tasks = (*spec.tasks, *(spec.finally_ or ()))
        plans = {task.name: ApproversPlan.of(task.approval) for task in tasks if task.approval is not None}
        return {name: plan for name, plan in plans.items() if plan is not None}

    async def _spec(self, namespace: str, run: FlowRunSpec, revision: str | None) -> InlineFlowSpec | None:
        if run.flow_spec is not None:
            return run.flow_spec
        if revision is not None:
            found = await self._client.get(
                CONFIGMAPS, namespace, revision, kind=dict[str, Any], urgent=True, timeout_s=READ_S
            )
            if found is not None:
                return read_spec(found)
        if run.flow is not None:
            return await self._find_flow(namespace, run.flow.name)
        if run.retry_of is None:
            return None
        retried = await self._client.get(
            FLOWRUNS, namespace, run.retry_of.name, kind=FlowRun, urgent=True, timeout_s=READ_S
        )
        if retried is None:
            return None
        is_same = run.retry_of.revision != "Latest"
        return await self._spec(namespace, parse_run({"spec": retried.spec}), retried.revision if is_same else None)
