"""The operator as a process: serve, stand by until it leads, lead, and stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from typing import Final

from penstock.engine.expressions.slow_evaluation import set_slow_evaluator
from penstock.errors import PenstockError
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.lease import LeaderElection
from penstock_operator.controllers import Controllers
from penstock_operator.event_loop import RestingSelector
from penstock_operator.metrics import Metrics
from penstock_operator.options import Options
from penstock_operator.runtime.expression_workers import ExpressionWorkers
from penstock_operator.serving import http_servers
from penstock_operator.webhooks.server import HttpServers

logger = logging.getLogger(__name__)

SILENT_S: Final = 300.0
"""A watch that has received nothing for so long, bookmarks included, makes the process unhealthy."""


async def run(options: Options, environ: Mapping[str, str], selector: RestingSelector) -> int:
    """Run the operator until it receives a termination signal or must not continue.

    Args:
        options: how.
        environ: the environment, for credentials.
        selector: of the running loop; counts how much work is in progress.

    Returns:
        The exit code: 0 after a termination signal.

    Raises:
        PenstockError: it could not start.
    """
    return await Process(options, environ, selector).run()


class Process:
    """One replica of the operator."""

    def __init__(self, options: Options, environ: Mapping[str, str], selector: RestingSelector) -> None:
        self._options = options
        self._connection = Connection.load(environ)
        self._selector = selector
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._controllers: Controllers | None = None

    async def run(self) -> int:
        """Serve, stand by, lead, stop; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        workers = ExpressionWorkers()
        set_slow_evaluator(workers)
        try:
            await self._serve_and_lead()
        finally:
            workers.close()
        return self._exit_code()

    async def _serve_and_lead(self) -> None:
        async with ApiClient(self._connection, metrics=self._metrics) as client:
            servers = http_servers(
                client,
                self._options,
                self._metrics,
                health={"streams": self._check_streams, "kopf": self._check_kopf},
                readiness={"leading": self._check_synced},
            )
            await servers.start()
            self._log_start(servers)
            election = LeaderElection(
                client,
                namespace=self._options.lease_namespace,
                name=self._options.lease_name,
                identity=self._options.identity,
                times=self._options.lease_times,
            )
            try:
                await self._lead_until_stopped(client, election)
            finally:
                await election.release()
                await servers.stop()

    async def _lead_until_stopped(self, client: ApiClient, election: LeaderElection) -> None:
        leading = asyncio.create_task(self._lead(client, election))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([leading, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        leading.cancel()
        (result,) = await asyncio.gather(leading, return_exceptions=True)
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            self._failure = self._failure or result

    async def _lead(self, client: ApiClient, election: LeaderElection) -> None:
        """Stand by until this replica holds the Lease, then lead until it loses the Lease or is cancelled."""
        epoch = await election.acquire()
        self._metrics.leader.set_function(lambda: float(election.is_leading()))
        controllers = self._controllers = Controllers(
            client,
            self._connection,
            self._options,
            metrics=self._metrics,
            epoch=epoch,
            confirm_leading=election.confirm,
            may_write=election.is_leading,
            fail=self._fail,
        )
        controllers.expose_watches(self._metrics)
        self._selector.count = controllers.task_instances_in_progress
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_lease(election))
            tasks.create_task(controllers.run())

    async def _watch_lease(self, election: LeaderElection) -> None:
        await election.lost.wait()
        name = f"{self._options.lease_namespace}/{self._options.lease_name}"
        self._fail(PenstockError(f"lost Lease {name}; exiting so that another replica can lead"))

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stop.set()

    def _log_start(self, servers: HttpServers) -> None:
        options = self._options
        logger.info(
            "penstock-operator %s is starting; serves HTTP on %s:%d, watches %s",
            options.identity,
            options.bind_address,
            servers.http_port,
            ", ".join(map("namespace {}".format, filter(None, options.namespaces))) or "all namespaces",
        )
        if servers.event_port is not None:
            logger.info("Serving the webhooks of Schedules on %s:%d", options.bind_address, servers.event_port)

    def _exit_code(self) -> int:
        if self._failure is None:
            logger.info("Shutting down: received a termination signal")
            return 0
        if isinstance(self._failure, PenstockError):
            logger.error("Shutting down: %s", self._failure)
        else:
            logger.error("Shutting down after an unexpected error", exc_info=self._failure)
        return 1

    # Probes

    def _check_streams(self) -> str | None:
        now = time.monotonic()
        ages = (
            [reflector.age_s(now) for reflector in self._controllers.reflectors]
            if self._controllers is not None
            else []
        )
        return f"a watch has received nothing for {max(ages):.0f} s" if ages and max(ages) > SILENT_S else None

    def _check_kopf(self) -> str | None:
        if self._controllers is not None and self._controllers.kopf.has_ended:
            return "kopf's thread has ended; the Pod must be restarted"
        return None

    def _check_synced(self) -> str | None:
        if self._controllers is not None and not all(
            reflector.synced.is_set() for reflector in self._controllers.reflectors
        ):
            return "the first lists of watched objects are not complete"
        return None
