"""kopf in a thread of its own: when a kopf operator stops, it cancels every task of its event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Final

import kopf

STOP_S: Final = 10.0


class KopfThread:
    """Runs a kopf operator in a thread.

    Args:
        registry: the handlers.
        memo: handed to every handler.
        namespaces: those to watch; a single empty one for all.
        fail: called in the loop that this is constructed in when kopf ends without being stopped.
    """

    def __init__(
        self,
        registry: kopf.OperatorRegistry,
        memo: object,
        *,
        namespaces: Sequence[str],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._registry = registry
        self._memo = memo
        self._namespaces = [each for each in namespaces if each]
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Start to watch."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop, and wait until the thread has ended; it may never have been started."""
        self._stop.set()
        if self._thread.ident is None:
            return
        await asyncio.to_thread(self._thread.join, STOP_S)

    @property
    def has_ended(self) -> bool:
        """Whether the thread was started and runs no longer."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def _run(self) -> None:
        failure: BaseException = RuntimeError("kopf ended unexpectedly")
        try:
            asyncio.run(
                kopf.operator(
                    registry=self._registry,
                    memo=self._memo,
                    standalone=True,
                    clusterwide=not self._namespaces,
                    namespaces=self._namespaces,
                    stop_flag=self._stop,
                )
            )
        except Exception as error:  # noqa: BLE001 - handed to the loop that decides
            failure = error
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._fail, failure)
