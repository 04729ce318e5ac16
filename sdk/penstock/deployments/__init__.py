"""Starting runs of deployed flows, and deploying them."""

from __future__ import annotations

from penstock.authoring.deployments.cluster import arun_deployment, deploy, run_deployment
from penstock.authoring.deployments.deployment import serve
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = ["arun_deployment", "deploy", "run_deployment", "serve"]

refuse_others(__name__)
