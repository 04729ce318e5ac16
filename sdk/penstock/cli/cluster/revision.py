"""Reads the specs that runs were started with."""

from __future__ import annotations

from typing import Final

from penstock.api.base import AS_STORED
from penstock.api.flow import InlineFlowSpec
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
    if run["spec"].get("flowSpec"):
        return parse_run(run, has_begun=True).flow_spec
    revision = status_of(run).get("revision")
    if not revision:
        return None
    try:
        kept = cluster.get_config_map(revision)["data"][REVISION_KEY]
        return InlineFlowSpec.model_validate_json(kept, context=AS_STORED)
    except RefusalError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"ConfigMap {revision} does not hold the spec of a Flow") from error
