"""Starting runs of deployed flows."""

from __future__ import annotations

from penstock.authoring.deployments.cluster import arun_deployment, run_deployment
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = ["arun_deployment", "run_deployment"]

refuse_others(__name__)
