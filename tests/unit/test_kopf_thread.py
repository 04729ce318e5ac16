"""kopf's thread, where no cluster is needed."""

from __future__ import annotations

import asyncio

import kopf

from penstock_operator.runtime.kopf_thread import KopfThread


def test_a_thread_that_was_never_started_can_be_stopped():
    # A replica may be terminated between the moment at which it leads and the end of its first lists.
    async def stop() -> bool:
        failures: list[BaseException] = []
        thread = KopfThread(kopf.OperatorRegistry(), None, namespaces=("",), fail=failures.append)
        await thread.stop()
        return not failures and not thread.has_ended

    assert asyncio.run(stop())
