"""What kopf calls, and when: the handlers of Flows, Schedules, Backfills and FlowDefaults.

kopf starts with the leader and watches the kinds that change rarely. Each handler hands the object that changed to the
controllers of its kind, which reconcile it in the event loop of the process; nothing else happens here. So kopf writes
no annotation, no finalizer and no copy of a spec, and leaves nothing to clean up: it closes the session that `log_in`
opened. FlowRuns, Pods and Jobs change hundreds of times a second and come through `penstock.kube.reflector`, at a
twentieth of the cost per event.

Probes are served by every replica, kopf runs in one: `/healthz` (`serving.py`) asks whether kopf's thread has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import kopf

from penstock.kube.connection import Connection
from penstock.kube.reflector import EventType
from penstock.kube.resources import BACKFILLS, FLOW_DEFAULTS, FLOWS, SCHEDULES
from penstock_operator.runtime.kopf_response import KopfResponse
from penstock_operator.runtime.kopf_settings import configure

registry = kopf.OperatorRegistry()

OnObject = Callable[[EventType, Mapping[str, Any]], None]
"""Takes a change and the object as JSON has it."""


@dataclass(frozen=True, slots=True)
class Memo:
    """What kopf hands to every handler."""

    connection: Connection
    loop: asyncio.AbstractEventLoop
    """The event loop of the process, in which the controllers run; kopf has its own."""
    on_flow: OnObject
    on_schedule: OnObject
    on_backfill: OnObject
    on_flow_defaults: OnObject

    def hand_over(self, on_object: OnObject, event: kopf.RawEvent) -> None:
        """Have the controllers of a kind handle a change, in their own event loop."""
        # Objects of the initial list come without a type: they exist, whether or not the controllers know them.
        change = EventType(event["type"] or EventType.ADDED)
        self.loop.call_soon_threadsafe(on_object, change, event["object"])


@kopf.on.startup(registry=registry)
def start_up(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Configure kopf, before it connects."""
    configure(settings)


@kopf.on.login(registry=registry)
async def log_in(memo: Memo, **_: Any) -> kopf.AiohttpSession:
    """Connect with the credentials of the process; called again when the API server refuses them."""
    connection = memo.connection
    await asyncio.to_thread(connection.reload)
    context = connection.ssl_context
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=True if context is None else context),
        headers=connection.headers,
        response_class=KopfResponse,
    )
    return kopf.AiohttpSession(server=connection.server, aiohttp_session=session)


@kopf.on.event(*FLOWS, registry=registry)
def flow_changed(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
    """Hand over a Flow: its controller checks it, stores its revision and reports whether it is Ready."""
    memo.hand_over(memo.on_flow, event)


@kopf.on.event(*SCHEDULES, registry=registry)
def schedule_changed(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
    """Hand over a Schedule: its controllers create runs at its times and for its events."""
    memo.hand_over(memo.on_schedule, event)


@kopf.on.event(*BACKFILLS, registry=registry)
def backfill_changed(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
    """Hand over a Backfill: its controller runs a Schedule for a past period."""
    memo.hand_over(memo.on_backfill, event)


@kopf.on.event(*FLOW_DEFAULTS, registry=registry)
def flow_defaults_changed(event: kopf.RawEvent, memo: Memo, **_: Any) -> None:
    """Hand over FlowDefaults: their controller checks them, and has the Flows of their namespace revised."""
    memo.hand_over(memo.on_flow_defaults, event)
