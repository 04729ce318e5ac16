"""The types of objects that Prefect's client returns. There is no client: runs are in the Kubernetes API."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others

refuse_others(__name__)
