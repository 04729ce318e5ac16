"""What every replica serves over HTTP, whether or not it leads: metrics, probes, admission and webhook deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from penstock.api.flow import FlowSpec
from penstock.engine.validation.validation import parse_flow, parse_schedule
from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.resources import FLOWRUNS, FLOWS, SCHEDULES, Resource
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.options import Options
from penstock_operator.runtime.recorder import EventRecorder
from penstock_operator.triggers.webhook import WebhookReceiver
from penstock_operator.webhooks.access import AccessReviews
from penstock_operator.webhooks.admission import Admission
from penstock_operator.webhooks.approvers import ApproversLookup
from penstock_operator.webhooks.audit import Audit
from penstock_operator.webhooks.flow_lookup import FlowLookup
from penstock_operator.webhooks.server import APPROVALS, Check, HttpServers

T = TypeVar("T")

DELIVERIES_IN_FLIGHT: Final = 16
LOOKUP_S: Final = 3.0
"""The API server waits for admission's answer: an object that admission needs must be read within this time."""


def http_servers(
    client: ApiClient,
    options: Options,
    metrics: Metrics,
    *,
    health: Mapping[str, Check],
    readiness: Mapping[str, Check],
) -> HttpServers:
    """Make the servers of a replica.

    Args:
        client: the way to the API server.
        options: addresses and ports.
        metrics: served at `/metrics`.
        health: checks for `/healthz`, by name.
        readiness: checks for `/readyz`, by name.
    """
    admission, audit = _admission(client, options)
    # Every replica writes the runs of deliveries, not the leader alone: a run's name follows from the delivery.
    writer = Writer(client, may_write=lambda: True, work_in_flight=DELIVERIES_IN_FLIGHT)
    recorder = EventRecorder(writer, instance=options.identity)
    deliveries = WebhookReceiver(client, writer, recorder, namespaces=options.namespaces)
    return HttpServers(
        bind_address=options.bind_address,
        http_port=options.http_port,
        registry=metrics.registry,
        health=health,
        readiness=readiness,
        webhook_port=options.webhook_port,
        webhook_cert_dir=options.webhook_cert_dir,
        webhook_token_file=options.webhook_token_file,
        webhooks={
            "flows": admission.validate_flow,
            "flowruns": admission.validate_flowrun,
            "schedules": admission.validate_schedule,
            "backfills": admission.validate_backfill,
            "audit": audit.record,
            APPROVALS: audit.require_record,
            "flowdefaults": admission.validate_flow_defaults,
        },
        event_port=options.event_port,
        events=deliveries.app(),
    )


def _admission(client: ApiClient, options: Options) -> tuple[Admission, Audit]:
    async def read(resource: Resource, parse: Callable[[Mapping[str, Any]], T], namespace: str, name: str) -> T | None:
        body = await client.get(resource, namespace, name, kind=dict[str, Any], urgent=True, timeout_s=LOOKUP_S)
        return None if body is None else parse(body)

    async def read_flow(namespace: str, name: str) -> FlowSpec | None:
        return await read(FLOWS, parse_flow, namespace, name)

    async def read_run(namespace: str, name: str) -> FlowRun | None:
        return await client.get(FLOWRUNS, namespace, name, kind=FlowRun, urgent=True, timeout_s=LOOKUP_S)

    async def may_get(user: Mapping[str, Any], resource: Resource, namespace: str, name: str) -> bool:
        # Who the user is, only the API server can say; without a token anyone can say it.
        return is_caller_known and await access.may_get(user, resource, namespace, name)

    is_caller_known = bool(options.webhook_token_file) and options.webhook_references
    access = AccessReviews(client)
    admission = Admission(
        read_flow,
        lambda namespace, name: read(SCHEDULES, parse_schedule, namespace, name),
        read_run,
        options.event_kinds,
        may_get=may_get,
        recent=FlowLookup(read_flow),
    )
    approvers = ApproversLookup(client, read_flow).find if is_caller_known else None
    return admission, Audit(approvers, may_get=may_get)
