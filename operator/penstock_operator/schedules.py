"""Schedules: a run for every tick, never two for one."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from penstock.api import names
from penstock.api.schedule import ScheduleSpec
from penstock.engine.scope import TICK_ROOTS, Scope
from penstock.engine.template import compile_value
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.timestamp import epoch, rfc3339
from penstock.engine.validation import check_schedule, parse_schedule
from penstock.errors import ExpressionError, InvalidSpecError, Problem
from penstock_operator.client import ApiClient
from penstock_operator.conditions import ready_condition
from penstock_operator.errors import ApiError, is_already_exists, is_namespace_terminating, is_not_found
from penstock_operator.keyedcontroller import KeyedController
from penstock_operator.metadata import ObjectKey
from penstock_operator.resource import FLOWRUNS

logger = logging.getLogger(__name__)

PAD_S: Final = 0.1
"""After the tick, so that a clock that is read a moment early does not find it missing."""
TIMING_FIELDS: Final = {"cron", "interval", "at", "rrule", "time_zone", "start_time", "end_time"}
LONGEST_SLEEP_S: Final = 3600.0
"""A clock may be set: ticks are computed anew at least this often."""


class ScheduleController(KeyedController):
    """Looks at Schedules when they change and when their ticks are due.

    Args:
        client: for reads.
        options: those of `KeyedController`.
    """

    def __init__(self, client: ApiClient, **options: Any) -> None:
        super().__init__(**options)
        self._client = client
        self._fired: dict[ObjectKey, tuple[str, float, str]] = {}

    def forget(self, key: ObjectKey) -> None:
        """Learn that a Schedule is gone."""
        self._fired.pop(key, None)

    async def look_at(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Create the run that is due, if one is, and see when the next one is."""
        metadata, stored = body["metadata"], body.get("status") or {}
        generation, now = metadata["generation"], self.clock()
        status: dict[str, Any] = {"observedGeneration": generation}
        try:
            spec = _valid_spec(body)
            ticks = read_timetable(spec)
        except InvalidSpecError as error:
            message = str(error)
            if stored.get("observedGeneration") != generation:
                self.record(body, is_warning=True, reason="InvalidSchedule", note=message)
            status |= {"conditions": [self._ready(body, reason="Invalid", message=message)], "nextTickTime": None}
            await self.store_status(key, body, status)
            return
        timing = _timing(spec)
        since = self._since(body, timing)
        status |= {"timing": timing, "timingSince": rfc3339(since)}
        last = self._last_tick(key, body)
        reason, message = "Suspended", "creates no runs while spec.suspend is true"
        following = None
        if not spec.suspend:
            reason, message = "Scheduled", "creates runs"
            due = ticks.previous(datetime.fromtimestamp(now + 1e-6, tz=UTC))
            if due is not None and due.timestamp() > max(since, last):
                problem = await self._fire(key, body, spec, ticks, due)
                if problem is not None:
                    reason, message = "Invalid", str(problem)
            following = ticks.next(datetime.fromtimestamp(now, tz=UTC))
        fired = self._fired.get(key)
        if fired is not None and fired[0] == metadata["uid"]:
            status |= {"lastTickTime": rfc3339(fired[1]), "lastRun": fired[2]}
        status["nextTickTime"] = None if following is None else rfc3339(following.timestamp())
        status["conditions"] = [self._ready(body, reason=reason, message=message)]
        await self.store_status(key, body, status)
        if following is not None:
            delay_s = min(following.timestamp() + PAD_S - now, LONGEST_SLEEP_S)
            self.queue.add_at(key, time.monotonic() + max(delay_s, 0.0))

    def _ready(self, body: Mapping[str, Any], *, reason: str, message: str) -> dict[str, Any]:
        return ready_condition(
            body.get("status") or {},
            is_ready=reason == "Scheduled",
            reason=reason,
            message=message,
            generation=body["metadata"]["generation"],
            now=self.clock(),
        )

    def _since(self, body: Mapping[str, Any], timing: str) -> float:
        """Return since when the present cron and zone hold: an edit acts from now on, and makes nothing up."""
        stored = body.get("status") or {}
        if stored.get("timing") == timing and "timingSince" in stored:
            return epoch(stored["timingSince"])
        if "timing" in stored:
            return self.clock()
        return epoch(body["metadata"]["creationTimestamp"])

    def _last_tick(self, key: ObjectKey, body: Mapping[str, Any]) -> float:
        stored = body.get("status") or {}
        last = epoch(stored["lastTickTime"]) if "lastTickTime" in stored else 0.0
        # What we fired counts before kopf shows us the status that says so.
        fired = self._fired.get(key)
        return max(last, fired[1]) if fired is not None and fired[0] == body["metadata"]["uid"] else last

    async def _fire(
        self, key: ObjectKey, body: Mapping[str, Any], spec: ScheduleSpec, ticks: Timetable, due: datetime
    ) -> Problem | None:
        """Create the run of a tick; returns what is wrong if it can't be made."""
        try:
            run = build_run(body, spec, ticks, due)
        except ExpressionError as error:
            problem = Problem("spec.runTemplate.spec.params", str(error))
            self.record(body, is_warning=True, reason="FailedCreate", note=str(problem))
            return problem
        name = run["metadata"]["name"]
        try:
            await self.writer.create(FLOWRUNS, key.namespace, msgspec.json.encode(run))
            self.record(body, is_warning=False, reason="SuccessfulCreate", note=f"Created run {name}")
        except ApiError as error:
            if is_namespace_terminating(error):
                return None
            if not is_already_exists(error):
                self.record(body, is_warning=True, reason="FailedCreate", note=f"Run {name}: {error.message or error}")
                raise
            if not await self._is_ours(key.namespace, name, body["metadata"]["uid"]):
                self.record(
                    body,
                    is_warning=True,
                    reason="UnexpectedRun",
                    note=f"A run {name} exists that is not of this Schedule",
                )
        self._fired[key] = (body["metadata"]["uid"], due.timestamp(), name)
        return None

    async def _is_ours(self, namespace: str, name: str, uid: str) -> bool:
        try:
            reply = await self._client.request("GET", FLOWRUNS.path(namespace, name))
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        owners = msgspec.json.decode(reply.body)["metadata"].get("ownerReferences", ())
        return any(owner["uid"] == uid for owner in owners)


def _timing(spec: ScheduleSpec) -> str:
    """Return a digest of what says when a Schedule is due."""
    fields = spec.model_dump(mode="json", include=TIMING_FIELDS, exclude_none=True)
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:16]


def _valid_spec(body: Mapping[str, Any]) -> ScheduleSpec:
    spec = parse_schedule(body)
    problems = check_schedule(spec)
    if problems:
        raise InvalidSpecError(problems)
    return spec


def build_run(body: Mapping[str, Any], spec: ScheduleSpec, ticks: Timetable, due: datetime) -> dict[str, Any]:
    """Build the run of a tick. Its name follows from the tick, so creating it twice is a conflict.

    Args:
        body: the Schedule.
        spec: its spec.
        ticks: its ticks.
        due: the tick, aware.

    Raises:
        ExpressionError: a param's value can't be had.
    """
    metadata = body["metadata"]
    zone = ZoneInfo(spec.time_zone or "UTC")
    local = due.astimezone(zone)
    before = ticks.previous(due)
    previous = None if before is None else before.astimezone(zone)
    template = spec.run_template
    run_spec = template.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if template.spec.params:
        tick = {
            "time": local.isoformat(),
            "date": local.date().isoformat(),
            "previous": {} if previous is None else {"date": previous.date().isoformat()},
        }
        run_spec["params"] = compile_value(template.spec.params, Scope(TICK_ROOTS)).evaluate({"tick": tick})
    extra = template.metadata
    labels = dict(extra.labels or {}) if extra is not None else {}
    annotations = dict(extra.annotations or {}) if extra is not None else {}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": f"{metadata['name']}-{int(due.timestamp()) // 60}",
            "namespace": metadata["namespace"],
            "labels": labels | {names.LABEL_SCHEDULE: metadata["name"]},
            "annotations": annotations | {names.ANNOTATION_TICK: local.isoformat()},
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "Schedule",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": run_spec,
    }
