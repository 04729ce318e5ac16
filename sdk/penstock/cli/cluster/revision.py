"""Reads the specs that runs were started with."""

from __future__ import annotations

from typing import Final

from penstock.api.base import AS_STORED
from penstock.api.flow import InlineFlowSpec
from penstock.api.flow_defaults import DEFAULTS_NAME, RevisedFlowSpec
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import FORBIDDEN, NOT_FOUND
from penstock.drawing.task_rows import Object, status_of
from penstock.engine.validation.validation import parse_run
from penstock.errors import CommandError, RefusalError

REVISION_KEY: Final = "spec.json"
"""The key of the spec in the ConfigMap of a revision."""


def read_revision(cluster: Cluster, run: Object) -> InlineFlowSpec | None:
    """Read the spec that a run was started with: its own, or the revision of its Flow.

    Args:
        cluster: the cluster.
        run: the FlowRun.

    Returns:
        The spec; None if the run has no revision yet, it does not exist any more, or the user may not read it.

    Raises:
        CommandError: the spec is invalid.
    """
    own = parse_run(run, has_begun=True).flow_spec if run["spec"].get("flowSpec") else None
    # That of an inline spec has what it inherits as well.
    revision = status_of(run).get("revision")
    return (_read(cluster, revision) if revision else None) or own


def read_inherited(cluster: Cluster, flow: Object) -> Object:
    """Read what the current revision of a Flow inherits, and what its runs' retention is inherited from.

    Args:
        cluster: the cluster.
        flow: the Flow.

    Returns:
        The specs of the defaults, by `namespace` and `installation`; none that the user may not read.
    """
    revision = status_of(flow).get("revision")
    spec = _read(cluster, revision) if revision else None
    found: Object = {}
    if spec is not None and spec.inherited is not None:
        found = spec.inherited.model_dump(mode="json", by_alias=True, exclude_unset=True)
    try:
        # Retention is in no revision: it is read as it is now.
        live = cluster.find_object("flowdefaults", DEFAULTS_NAME)
    except RefusalError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise
        live = None
    if live and (retention := (live.get("spec") or {}).get("retention")):
        found["namespace"] = {**found.get("namespace", {}), "retention": retention}
    return found


def _read(cluster: Cluster, revision: str) -> RevisedFlowSpec | None:
    try:
        kept = cluster.get_config_map(revision)["data"][REVISION_KEY]
        return RevisedFlowSpec.model_validate_json(kept, context=AS_STORED)
    except RefusalError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"ConfigMap {revision} does not hold the spec of a Flow") from error
