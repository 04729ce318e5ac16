"""Dry runs: what the API server says about a Flow's Pods before any run creates them.

Each sample is created with `dryRun=All&fieldValidation=Strict`: all checks and policies of the cluster, and nothing is
stored. https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.engine.compiler.plan import Plan
from penstock.engine.keys import RunIdentity
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import METADATA
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock.kube.fair_slots import FairSlots
from penstock.kube.writer import Writer
from penstock_operator.flows.sample_pods import SamplePod, explain_refusal, make_sample_pods

logger = logging.getLogger(__name__)

IN_FLIGHT: Final = 4
RETRY_LIMIT_S: Final = 5.0
"""How long the request for one sample is retried after a transient refusal."""
LONGEST_S: Final = 30.0
"""For all samples of a Flow: webhooks that hang must not delay other Flows."""
QUERY: Final = {"dryRun": "All", "fieldValidation": "Strict"}


class DryRun:
    """Asks the API server whether it would accept the Pods of Flows.

    Args:
        writer: for the requests.
        settings: of the installation, about Pods.
    """

    def __init__(self, writer: Writer, settings: PodSettings) -> None:
        self._writer = writer
        self._settings = settings
        self._slots = FairSlots(IN_FLIGHT, leaves_places=True)

    async def make_samples(self, plan: Plan, flow: RunIdentity, *, revision: str) -> list[SamplePod]:
        """Build what is asked about: from then on the plan, which may be large, is not needed.

        Args:
            plan: the compiled Flow.
            flow: the Flow, in place of a run.
            revision: ConfigMap with its scripts.
        """
        return await asyncio.to_thread(make_sample_pods, plan, flow, revision=revision, settings=self._settings)

    async def find_refusals(self, samples: Sequence[SamplePod], flow: RunIdentity) -> list[str]:
        """Find out which Pods of a Flow the API server would refuse, and why.

        Returns:
            A message for each shape that it refuses; none if it accepts all, or if it could not be asked.
        """
        try:
            async with asyncio.timeout(LONGEST_S):
                refusals = await asyncio.gather(*(self._find_refusal(flow.namespace, sample) for sample in samples))
        except TimeoutError:
            logger.warning(
                "Dry run of the Pods of Flow %s/%s timed out after %g s", flow.namespace, flow.name, LONGEST_S
            )
            return []
        return [refusal for refusal in refusals if refusal is not None]

    async def _find_refusal(self, namespace: str, sample: SamplePod) -> str | None:
        async with self._slots.hold(namespace):
            try:
                await self._writer.create(
                    sample.resource,
                    namespace,
                    msgspec.json.encode(sample.body),
                    query=QUERY,
                    accept=METADATA,
                    deadline=time.monotonic() + RETRY_LIMIT_S,
                )
            except ApiError as error:
                refusal = explain_refusal(sample, error)
                if refusal is None:
                    logger.debug("Dry run of task %s in %s is inconclusive: %s", sample.tasks[0], namespace, error)
                return refusal
            except ApiUnreachableError as error:
                logger.debug("Dry run of task %s in %s got no answer: %s", sample.tasks[0], namespace, error)
            return None
