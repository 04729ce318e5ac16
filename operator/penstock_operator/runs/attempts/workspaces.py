"""The claims of runs' workspaces as writes: each is made once, before the first Pod of its run."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from penstock.api import names
from penstock.api.flow import Workspace
from penstock.engine.workloads.workspace import build_claim, claim_name
from penstock.errors import PenstockError
from penstock.kube.client import METADATA
from penstock.kube.errors import ApiError, is_already_exists, is_namespace_terminating, is_not_found, is_quota
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import CLAIMS
from penstock.kube.writer import Writer
from penstock_operator.runs.attempts.reader import PatientReader
from penstock_operator.runs.live_run import LiveRun

_CLAIM: Final = msgspec.json.Decoder(PartialObject)


class ClaimRefusedError(PenstockError):
    """The API server refused a run's claim for good, or somebody else's is in its place."""


class Workspaces:
    """Makes claims.

    Args:
        reader: for reads.
        writer: for writes.
    """

    def __init__(self, reader: PatientReader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def ensure(self, run: LiveRun, workspace: Workspace) -> None:
        """Have the claim of a run made, if it is not there.

        Raises:
            ClaimRefusedError: there can be none.
            ApiError: a quota is full, or the namespace goes.
        """
        if run.claiming is None or (run.claiming.done() and run.claiming.exception() is not None):
            run.claiming = asyncio.ensure_future(self._make(run, workspace))
        # A thousand Pods that are created together wait for the same claim; none of them may take it from the others.
        await asyncio.shield(run.claiming)

    async def _make(self, run: LiveRun, workspace: Workspace) -> None:
        claim = build_claim(workspace, run.identity, flow=run.flow)
        try:
            await self._writer.create(CLAIMS, run.key.namespace, msgspec.json.encode(claim), accept=METADATA)
        except ApiError as error:
            if is_already_exists(error):
                await self._check(run)
            elif is_quota(error) or is_namespace_terminating(error) or is_not_found(error):
                raise
            else:
                raise ClaimRefusedError(f"the claim of the workspace: {error.message or error}") from error

    async def _check(self, run: LiveRun) -> None:
        name = claim_name(run.identity)
        found = await self._reader.read(CLAIMS, run.key.namespace, name, _CLAIM)
        if found is not None and found.metadata.labels.get(names.LABEL_RUN_UID) != run.uid:
            raise ClaimRefusedError(f"a PersistentVolumeClaim named {name} exists that is not of this run")
