"""The run that an event makes. Its name follows from the event, so that whoever makes it twice finds it there."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.schedule import ScheduleSpec
from penstock.engine.names import event_run_name
from penstock.errors import PenstockError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_already_exists, is_not_found, is_quota
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import FOREVER, Writer
from penstock_operator.schedules.run import build_schedule_run


class EventRefusedError(PenstockError):
    """No run can be made of an event, now or later; the message says why."""


class EventId(NamedTuple):
    """Which event."""

    event: str
    """Its name in the Schedule."""
    identity: str
    """What tells it from all others of that name."""
    chain: int = 0
    """How many runs in a row it follows from."""


async def create_event_run(
    client: ApiClient,
    writer: Writer,
    *,
    body: Mapping[str, Any],
    spec: ScheduleSpec,
    event: EventId,
    params: Mapping[str, Any],
    deadline: float = FOREVER,
) -> str:
    """Create the run of an event, or find it.

    Args:
        client: for reads.
        writer: for the write.
        body: the Schedule.
        spec: its spec.
        event: which event.
        params: the run's params.
        deadline: no try begins after it, on the writer's clock.

    Returns:
        The run's name.

    Raises:
        EventRefusedError: the API server does not take such a run, or its name is another run's.
        ApiError: it does not take it now.
        ApiUnreachableError: it did not answer.
    """
    run = build_event_run(body, spec, event, params)
    name = run["metadata"]["name"]
    namespace = body["metadata"]["namespace"]
    try:
        await writer.create(FLOWRUNS, namespace, msgspec.json.encode(run), accept=METADATA, deadline=deadline)
    except ApiError as error:
        if is_already_exists(error):
            await _check_same(client, namespace, name, run)
        elif (
            is_quota(error)
            or not HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR
            or error.status == HTTPStatus.TOO_MANY_REQUESTS
        ):
            raise
        else:
            raise EventRefusedError(f"run {name} can't be created: {error.message or error}") from error
    return str(name)


async def _check_same(client: ApiClient, namespace: str, name: str, run: Mapping[str, Any]) -> None:
    try:
        reply = await client.request("GET", FLOWRUNS.path(namespace, name), accept=METADATA)
    except ApiError as error:
        if is_not_found(error):
            return
        raise
    found = msgspec.json.decode(reply.body, type=PartialObject).metadata
    identity = run["metadata"]["annotations"][names.ANNOTATION_EVENT]
    if found.annotations.get(names.ANNOTATION_EVENT) != identity:
        raise EventRefusedError(f"a run {name} exists that is not of this event")


def build_event_run(
    body: Mapping[str, Any], spec: ScheduleSpec, event: EventId, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the run of an event; see `create_event_run` for the arguments."""
    metadata, template = body["metadata"], spec.run_template
    run_spec = template.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"params"})
    if params:
        run_spec["params"] = dict(params)
    annotations = {names.ANNOTATION_EVENT: event.identity}
    if event.chain:
        annotations[names.ANNOTATION_CHAIN] = str(event.chain)
    return build_schedule_run(
        body,
        template,
        name=event_run_name(metadata["name"], metadata["uid"], event.event, event.identity),
        spec=run_spec,
        labels={names.LABEL_EVENT: event.event},
        annotations=annotations,
    )
