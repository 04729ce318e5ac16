"""`penstock logs`: the logs of the tasks of a run."""

from __future__ import annotations

import argparse
import contextlib
import math
import threading
from typing import NamedTuple

from penstock.api.duration import duration_s
from penstock.api.names import LABEL_ATTEMPT, LABEL_INDEX, LABEL_TASK, MAIN_CONTAINER
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.interruptible import join_thread
from penstock.cli.cluster.log_link import find_log_link
from penstock.cli.cluster.log_text import LogOptions
from penstock.cli.text.echo import echo_log
from penstock.cli.text.log_source import SEPARATOR, Choice, Source
from penstock.cli.text.progress import is_finished
from penstock.drawing.task_rows import Object, read_tasks
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError, DurationError


def command(arguments: argparse.Namespace) -> int:
    """Print logs; with --follow until the run has finished."""
    options = read_log_options(arguments)
    cluster = Cluster.connect(arguments)
    run = cluster.get_run(arguments.run)
    tasks = [row.name for row in read_tasks(run)]
    if arguments.task and tasks and arguments.task not in tasks:
        others = suggest(arguments.task, tasks) or f"; its tasks are {enumerate_names(tasks)}"
        raise CommandError(f"FlowRun {arguments.run} has no task {arguments.task}{others}")
    choice = Choice(arguments.task, arguments.item)
    if arguments.follow:
        _Follower(cluster, arguments.run, choice, options).follow()
        return 0
    logs = select_logs(cluster.list_pods(arguments.run), choice, all_attempts=arguments.all_attempts)
    if not logs:
        what, pods = ("", "none of its Pods") if choice == Choice() else (f" of {choice}", "no such Pod")
        link = find_log_link(cluster, run, choice)
        raise CommandError(
            f"no logs{what} of FlowRun {arguments.run}: {pods} has started, or all were deleted"
            + (f"; see {link}" if link else "")
        )
    is_alone = len(logs) == 1
    for source, log in logs.items():
        for line in cluster.read_log(log.pod, log.container, follow=False, options=options):
            echo_log(_prefix("" if is_alone else str(source), log), line)
    return 0


def _prefix(source: str, log: Log) -> str:
    """Return the prefix of the lines of a log: `load[3] | `, `init container fetch | ` or both."""
    init = "" if log.container == MAIN_CONTAINER else f"init container {log.container}"
    words = " ".join(filter(None, (source, init)))
    return f"{words}{SEPARATOR}" if words else ""


def read_log_options(arguments: argparse.Namespace) -> LogOptions:
    """Read which lines to print.

    Args:
        arguments: with `since`, `tail` and `timestamps`.

    Raises:
        CommandError: a value is invalid.
    """
    since_s = None
    if arguments.since is not None:
        try:
            # The API server takes whole seconds, from 1.
            since_s = max(1, math.ceil(duration_s(arguments.since)))
        except DurationError as error:
            raise CommandError(f"--since {arguments.since}: {error}") from error
    if arguments.tail is not None and arguments.tail < 0:
        raise CommandError(f"--tail {arguments.tail}: must be at least 0")
    return LogOptions(since_s, arguments.tail, arguments.timestamps)


def read_source(pod: Object) -> Source:
    """Read the task, item and attempt of a Pod from its labels."""
    labels = pod["metadata"]["labels"]
    return Source(labels[LABEL_TASK], int(labels.get(LABEL_INDEX, -1)), int(labels.get(LABEL_ATTEMPT, 1)))


class Log(NamedTuple):
    """The log of one container."""

    pod: str
    container: str


def find_log(pod: Object) -> Log | None:
    """Return the log of the main container of a Pod; until it has started, that of the last init container that has."""
    status = pod.get("status") or {}
    main = [each for each in status.get("containerStatuses") or () if each["name"] == MAIN_CONTAINER]
    for each in (*main, *reversed(status.get("initContainerStatuses") or ())):
        if not (each.get("state") or {}).keys().isdisjoint({"running", "terminated"}):
            return Log(pod["metadata"]["name"], each["name"])
    return None


def select_logs(pods: list[Object], choice: Choice, *, all_attempts: bool) -> dict[Source, Log]:
    """Select the Pods whose logs to print.

    Args:
        pods: the Pods of the run.
        choice: which of them.
        all_attempts: whether to include attempts that were retried.

    Returns:
        The logs, by source, in order of the creation of their Pods.
    """
    found: dict[Source, Log] = {}
    newest: dict[tuple[str, int], int] = {}
    for pod in sorted(pods, key=lambda each: (each["metadata"]["creationTimestamp"], read_source(each))):
        source = read_source(pod)
        log = find_log(pod)
        if log is not None and choice.includes(source):
            found[source] = log
            newest[source.task, source.item] = max(source.attempt, newest.get((source.task, source.item), 0))
    if all_attempts:
        return found
    return {source: log for source, log in found.items() if source.attempt == newest[source.task, source.item]}


class _Follower:
    """Prints the logs of a run's Pods as they are written, one thread for each Pod.

    The threads are daemons: they block in reads that only the server can end.
    """

    def __init__(self, cluster: Cluster, run: str, choice: Choice, options: LogOptions) -> None:
        self._cluster = cluster
        self._run = run
        self._choice = choice
        self._options = options
        self._print_lock = threading.Lock()
        self._start_lock = threading.Lock()
        self._readers: dict[Log, threading.Thread] = {}

    def follow(self) -> None:
        threading.Thread(target=self._follow_pods, daemon=True).start()
        with contextlib.closing(self._cluster.follow_run(self._run)) as states:
            for run in states:
                if is_finished(run):
                    break
        # The watch of the Pods may be behind that of the run.
        for pod in self._cluster.list_pods(self._run):
            self._start_reader(pod)
        for reader in list(self._readers.values()):
            join_thread(reader)

    def _follow_pods(self) -> None:
        with contextlib.suppress(CommandError):  # the watch of the run raises the same error
            for event in self._cluster.follow_pods(self._run):
                if event.type != "DELETED":
                    self._start_reader(event.object)

    def _start_reader(self, pod: Object) -> None:
        source, log = read_source(pod), find_log(pod)
        with self._start_lock:
            if log is None or log in self._readers or not self._choice.includes(source):
                return
            prefix = _prefix("" if self._choice.task and source.item < 0 else str(source), log)
            self._readers[log] = threading.Thread(target=self._print_log, args=(log, prefix), daemon=True)
            self._readers[log].start()

    def _print_log(self, log: Log, prefix: str) -> None:
        with contextlib.suppress(CommandError):  # the Pod was deleted meanwhile
            for line in self._cluster.read_log(log.pod, log.container, follow=True, options=self._options):
                with self._print_lock:
                    echo_log(prefix, line, flush=True)
