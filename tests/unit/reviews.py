"""Reviews of admission as the API server sends them, and a namespace with a few objects that they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.api.flow import FlowSpec
from penstock.api.schedule import ScheduleSpec
from penstock.errors import InvalidSpecError, Problem
from penstock.kube.kinds.flow_run import FlowRun
from penstock_operator.webhooks.admission import Admission

IMAGE = "registry.example:5000/etl:1.4"
ORDERS = {
    "params": [{"name": "day", "type": "string"}, {"name": "limit", "type": "integer", "default": 10}],
    "tasks": [{"name": "load", "image": IMAGE, "args": ["$(params.day)"]}],
}
RUN = {"flow": {"name": "orders"}, "params": {"day": "monday"}}
SCHEDULE = {"cron": ["30 2 * * *"], "timeZone": "Europe/Berlin", "runTemplate": {"spec": RUN}}
OCTOBER = {"schedule": {"name": "nightly"}, "from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
VALIDATE = {
    "Flow": Admission.validate_flow,
    "FlowRun": Admission.validate_flowrun,
    "Schedule": Admission.validate_schedule,
    "Backfill": Admission.validate_backfill,
    "FlowDefaults": Admission.validate_flow_defaults,
}


async def look_up(namespace: str, name: str) -> FlowSpec | None:
    if (namespace, name) == ("shop", "broken"):
        raise InvalidSpecError([Problem("spec.tasks", "is invalid")])
    return FlowSpec.model_validate(ORDERS) if (namespace, name) == ("shop", "orders") else None


async def look_up_schedule(namespace: str, name: str) -> ScheduleSpec | None:
    if (namespace, name) == ("shop", "broken"):
        raise InvalidSpecError([Problem("spec.cron", "can't be read")])
    return ScheduleSpec.model_validate(SCHEDULE) if (namespace, name) == ("shop", "nightly") else None


async def look_up_run(namespace: str, name: str) -> FlowRun | None:
    state = {("shop", "failed"): "Failed", ("shop", "running"): "Running", ("shop", "new"): None}.get(
        (namespace, name), "none"
    )
    if state == "none":
        return None
    tasks = [
        {"name": "load", "state": "Failed", "items": {"total": 3}},
        {"name": "report", "state": "Skipped"},
        {"name": "clean", "state": "Completed", "finally": True},
    ]
    status = {"state": state, "tasks": tasks, "params": {"day": "monday", "limit": 10}} if state else {}
    return FlowRun(spec={"flow": {"name": "orders"}}, status=status)


async def anyone_may(_user: Any, _resource: Any, _namespace: str, _name: str) -> bool:
    return True


def flow(*tasks: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"tasks": [{"image": IMAGE, **task} for task in tasks], **fields}


def review_of(kind: str, spec: Any, **request: Any) -> dict[str, Any]:
    """A review as the API server sends it; fields of the request can be replaced."""
    obj = {"apiVersion": "penstock.dev/v1alpha1", "kind": kind, "metadata": {"name": "it"}, "spec": spec}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "penstock.dev", "version": "v1alpha1", "kind": kind},
            "operation": "CREATE",
            "namespace": "shop",
            "name": "it",
            "object": obj,
            **request,
        },
    }
