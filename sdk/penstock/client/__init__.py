"""The types of objects that Prefect's client returns. There is no client: runs are in the Kubernetes API.

Programs import them for annotations and comparisons. Requests to the API server are those of `penstock.kube`; runs are
started by `penstock.deployments`.
"""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others

refuse_others(__name__)
