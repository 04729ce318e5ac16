"""Deployments, under the name that Prefect gives to those of `flow.to_deployment`."""

from __future__ import annotations

from penstock.authoring.deployments.deployment import Deployment as RunnerDeployment
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = ["RunnerDeployment"]

refuse_others(__name__)
