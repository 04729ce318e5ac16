"""The run that an event creates. Its name follows from the event, so creating it twice finds the first one."""

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
from penstock.kube.errors import ApiError, is_already_exists, is_quota
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import FOREVER, Writer
from penstock_operator.schedules.identity import ScheduleReference, schedule_of
from penstock_operator.schedules.run import build_run


class EventRefusedError(PenstockError):
    """No run can be created for an event, now or later; the message says why."""


class EventId(NamedTuple):
    """Which event."""

    trigger: str
    """Name of the trigger in the Schedule."""
    identity: str
    """Different for each event of the trigger."""
    chain: int = 0
    """Length of the chain of runs that it follows from."""


async def create_event_run(
    client: ApiClient,
    writer: Writer,
    *,
    schedule: ObjectMeta,
    spec: ScheduleSpec,
    event: EventId,
    params: Mapping[str, Any],
    deadline: float = FOREVER,
) -> str:
    """Create the run of an event, or find it.

    Args:
        client: for reads.
        writer: for the write.
        schedule: metadata of the Schedule.
        spec: its spec.
        event: which event.
        params: the run's params.
        deadline: no attempt starts after it, on the writer's clock.

    Returns:
        The run's name.

    Raises:
        EventRefusedError: the API server permanently refuses the run, or another run has its name.
        ApiError: it refuses the run for now.
        ApiUnreachableError: it did not answer.
    """
    run = build_event_run(schedule, spec, event, params)
    name = run["metadata"]["name"]
    namespace = schedule.namespace
    try:
        await writer.create(FLOWRUNS, namespace, msgspec.json.encode(run), accept=METADATA, deadline=deadline)
    except ApiError as error:
        if is_already_exists(error):
            await _check_same(client, schedule, run)
        elif (
            is_quota(error)
            or not HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR
            or error.status == HTTPStatus.TOO_MANY_REQUESTS
        ):
            raise
        else:
            raise EventRefusedError(f"cannot create run {name}: {error.message or error}") from error
    return str(name)


async def _check_same(client: ApiClient, schedule: ObjectMeta, run: Mapping[str, Any]) -> None:
    name, identity = run["metadata"]["name"], run["metadata"]["annotations"][names.ANNOTATION_EVENT]
    found = await client.get(FLOWRUNS, schedule.namespace, name, kind=PartialObject, accept=METADATA)
    if found is None:
        return
    is_same = found.metadata.annotations.get(names.ANNOTATION_EVENT) == identity
    if not is_same or schedule_of(found.metadata) != ScheduleReference(schedule.name, schedule.uid):
        raise EventRefusedError(f"run {name} exists and was not created for this event")


def build_event_run(
    schedule: ObjectMeta, spec: ScheduleSpec, event: EventId, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the run of an event; see `create_event_run` for the arguments."""
    run_spec = spec.run_template.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"params"})
    if params:
        run_spec["params"] = dict(params)
    annotations = {names.ANNOTATION_EVENT: event.identity}
    if event.chain:
        annotations[names.ANNOTATION_CHAIN] = str(event.chain)
    return build_run(
        schedule,
        spec,
        name=event_run_name(schedule.name, schedule.uid, event.trigger, event.identity),
        spec=run_spec,
        labels={names.LABEL_EVENT: event.trigger},
        annotations=annotations,
    )
