"""The PersistentVolumeClaims of runs' workspaces: each is created once, before the first Pod of its run."""

from __future__ import annotations

import asyncio

import msgspec

from penstock.api.flow import Workspace
from penstock.engine.workloads.workspace import build_claim, claim_name
from penstock.errors import PenstockError
from penstock.kube.client import METADATA
from penstock.kube.errors import ApiError, is_already_exists, is_namespace_terminating, is_not_found, is_quota
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import CLAIMS
from penstock.kube.writer import Writer
from penstock_operator.runs.attempts.create import building
from penstock_operator.runs.attempts.identity import is_claim_of
from penstock_operator.runs.attempts.reader import RetryingReader
from penstock_operator.runs.live_run import LiveRun


class ClaimRefusedError(PenstockError):
    """The API server refused a run's claim permanently, or another claim has its name."""


class Workspaces:
    """Creates claims.

    Args:
        reader: for reads.
        writer: for writes.
    """

    def __init__(self, reader: RetryingReader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def ensure_claim(self, run: LiveRun, workspace: Workspace) -> None:
        """Create the claim of a run, if it does not exist.

        Raises:
            ClaimRefusedError: it cannot be created.
            ApiError: a quota is full, or the namespace is being deleted.
        """
        if run.workspace_claim is None or (run.workspace_claim.done() and run.workspace_claim.exception() is not None):
            run.workspace_claim = asyncio.ensure_future(self._create_claim(run, workspace))
        # A thousand Pods that are created together wait for the same claim; cancelling one of them must not cancel it.
        await asyncio.shield(run.workspace_claim)

    async def _create_claim(self, run: LiveRun, workspace: Workspace) -> None:
        with building("spec.workspace"):
            claim = msgspec.json.encode(build_claim(workspace, run.identity, flow=run.flow))
        try:
            await self._writer.create(CLAIMS, run.key.namespace, claim, accept=METADATA)
        except ApiError as error:
            if is_already_exists(error):
                await self._check_owner(run)
            elif is_quota(error) or is_namespace_terminating(error) or is_not_found(error):
                raise
            else:
                raise ClaimRefusedError(
                    f"the workspace's PersistentVolumeClaim was refused: {error.message or error}"
                ) from error

    async def _check_owner(self, run: LiveRun) -> None:
        name = claim_name(run.identity)
        found = await self._reader.read_object(CLAIMS, run.key.namespace, name, PartialObject)
        if found is not None and not is_claim_of(found.metadata, run):
            raise ClaimRefusedError(f"a PersistentVolumeClaim named {name} exists that does not belong to this run")
