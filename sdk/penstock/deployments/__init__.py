"""Starting runs of deployed flows, and deploying them."""

from __future__ import annotations

from penstock.authoring.cluster import arun_deployment, deploy, run_deployment
from penstock.authoring.deployment import serve
from penstock.authoring.not_offered import refuse_others

__all__ = ["arun_deployment", "deploy", "run_deployment", "serve"]

refuse_others(__name__)
