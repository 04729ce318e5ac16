"""Starting runs of deployed flows, and deploying them.

Under Prefect's names, for programs; `penstock.authoring.deployments` does it. On the command line,
`penstock deploy` and `penstock run` do the same. There are no work pools: the operator runs what is deployed.
"""

from __future__ import annotations

from penstock.authoring.deployments.cluster import arun_deployment, deploy, run_deployment
from penstock.authoring.deployments.deployment import serve
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = ["arun_deployment", "deploy", "run_deployment", "serve"]

refuse_others(__name__)
