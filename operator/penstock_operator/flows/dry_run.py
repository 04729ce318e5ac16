"""Rehearsals: what the API server says about a Flow's Pods before any run creates them.

Each specimen is created with `dryRun=All&fieldValidation=Strict`: all checks and policies of the cluster, and nothing
stored. https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import msgspec

from penstock.engine.compiler.plan import Plan
from penstock.engine.keys import RunIdentity
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import METADATA
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock.kube.writer import Writer
from penstock_operator.flows.sample_pods import SamplePod, explain_refusal, make_sample_pods

logger = logging.getLogger(__name__)

IN_FLIGHT: Final = 4
PATIENCE_S: Final = 5.0
"""How long one specimen is tried again after a refusal that may pass."""
LONGEST_S: Final = 30.0
"""All of a Flow's together: webhooks that hang must not hold up other Flows."""
QUERY: Final = {"dryRun": "All", "fieldValidation": "Strict"}


class DryRun:
    """Asks the API server about Flows.

    Args:
        writer: for the requests.
        settings: what the installer decided about Pods.
    """

    def __init__(self, writer: Writer, settings: PodSettings) -> None:
        self._writer = writer
        self._settings = settings
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def judge(self, plan: Plan, flow: RunIdentity, *, revision: str) -> list[str]:
        """Find out what the API server has against the Pods of a Flow.

        Args:
            plan: the compiled Flow.
            flow: the Flow, in the place of a run.
            revision: ConfigMap with its scripts.

        Returns:
            A text for each shape that it refuses; none if it refuses none, or could not be asked.
        """
        specimens = await asyncio.to_thread(make_sample_pods, plan, flow, revision=revision, settings=self._settings)
        try:
            async with asyncio.timeout(LONGEST_S):
                refusals = await asyncio.gather(*(self._ask(flow.namespace, specimen) for specimen in specimens))
        except TimeoutError:
            logger.warning("The Pods of the Flow %s/%s could not be tried in time", flow.namespace, flow.name)
            return []
        return [refusal for refusal in refusals if refusal is not None]

    async def _ask(self, namespace: str, specimen: SamplePod) -> str | None:
        async with self._slots:
            try:
                await self._writer.create(
                    specimen.resource,
                    namespace,
                    msgspec.json.encode(specimen.body),
                    query=QUERY,
                    accept=METADATA,
                    deadline=time.monotonic() + PATIENCE_S,
                )
            except ApiError as error:
                refusal = explain_refusal(specimen, error)
                if refusal is None:
                    logger.debug("A trial of task %s in %s says nothing: %s", specimen.tasks[0], namespace, error)
                return refusal
            except ApiUnreachableError as error:
                logger.debug("A trial of task %s in %s got no answer: %s", specimen.tasks[0], namespace, error)
            return None
