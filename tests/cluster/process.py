"""Processes that outlive the command that started them, each with a pid file and a log."""

import json
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

STOP_GRACE_S = 8.0
KILL_GRACE_S = 5.0
POLL_S = 0.02
LOG_TAIL_LINES = 15

# Every process of a cluster, and whatever it starts in its turn, carries the state folder in this variable: so `down`
# finds those that no pid file names, such as the shims of containerd.
OWNER_VARIABLE = "PENSTOCK_TEST_CLUSTER"


@dataclass(frozen=True)
class Process:
    """A process of this machine, told from a later one with the same number by its start time.

    Attributes:
        pid: its number.
        start_ticks: when it began, in clock ticks since boot; field 22 of /proc/PID/stat (proc(5)).
    """

    pid: int
    start_ticks: int

    @classmethod
    def this(cls) -> "Process":
        """The one that asks."""
        return cls(pid=os.getpid(), start_ticks=_start_ticks(os.getpid()) or 0)

    @property
    def is_alive(self) -> bool:
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # a dead child of our own stays a zombie until somebody asks
        return _start_ticks(self.pid) == self.start_ticks

    def signal(self, number: int) -> None:
        """Send a signal, if it is still that process."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End it: first politely, then not.

        Raises:
            ClusterError: it would not die.
        """
        for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_GRACE_S)):
            self.signal(number)
            deadline_s = time.monotonic() + patience_s
            while self.is_alive:
                if time.monotonic() > deadline_s:
                    break
                time.sleep(POLL_S)
            else:
                return
        raise ClusterError(f"process {self.pid} does not end on SIGKILL: see /proc/{self.pid}/stack")


class Processes:
    """The processes of one cluster: `run/NAME.pid` and `logs/NAME.log` in its state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._run_dir = state_dir / "run"
        self._log_dir = state_dir / "logs"

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Process:
        """Start a process of its own session, so that a Ctrl-C in the terminal doesn't reach it.

        Args:
            name: of its pid file and log.
            command: the path of the program and its arguments.
            environment: what it gets beside PATH; nothing else is inherited, proxy settings least of all.
        """
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        arguments = [str(part) for part in command]
        variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._state_dir),
            OWNER_VARIABLE: str(self._state_dir),
            **(environment or {}),
        }
        # Not subprocess.Popen: it warns when a process outlives the object, which is what is wanted here.
        pid = os.posix_spawn(
            arguments[0],
            arguments,
            variables,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self.log(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        process = Process(pid=pid, start_ticks=_start_ticks(pid) or 0)
        record = {"pid": process.pid, "start_ticks": process.start_ticks, "command": arguments}
        (self._run_dir / f"{name}.pid").write_text(json.dumps(record))
        return process

    def get(self, name: str) -> Process | None:
        """The process of this name as it was started, dead or alive."""
        try:
            record = json.loads((self._run_dir / f"{name}.pid").read_text())
            return Process(pid=record["pid"], start_ticks=record["start_ticks"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def is_alive(self, name: str) -> bool:
        """Whether the process of this name was started and still runs."""
        process = self.get(name)
        return process is not None and process.is_alive

    def names(self) -> list[str]:
        """All that were started, in that order."""
        files = sorted(self._run_dir.glob("*.pid"), key=lambda file: file.stat().st_mtime_ns)
        return [file.stem for file in files]

    def stop(self, name: str, grace_s: float = STOP_GRACE_S) -> None:
        """End the process of this name, if it runs, and forget it."""
        if process := self.get(name):
            process.stop(grace_s=grace_s)
        (self._run_dir / f"{name}.pid").unlink(missing_ok=True)

    def stop_orphans(self) -> list[int]:
        """End what belongs to this cluster and has no pid file; returns the pids."""
        orphans = list(_owned_by(self._state_dir))
        for process in orphans:
            process.stop(grace_s=1)
        return [process.pid for process in orphans]

    def log(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The end of a log, for an error message."""
        try:
            lines = self.log(name).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "(the log is empty)"


def running(programs: Collection[str]) -> Iterator[tuple[str, int]]:
    """The processes of this machine that go by one of these names, as the kernel knows them: name and pid."""
    for folder in _process_folders():
        with suppress(OSError):
            name = (folder / "comm").read_text().strip()
            if name in programs and _start_ticks(int(folder.name)) is not None:
                yield name, int(folder.name)


def _process_folders() -> Iterator[Path]:
    return (folder for folder in Path("/proc").iterdir() if folder.name.isdecimal())


def _start_ticks(pid: int) -> int | None:
    """When a process began; None when there is none, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in the second field may hold spaces and brackets: the fields count from the last bracket.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _owned_by(state_dir: Path) -> Iterator[Process]:
    mark = f"{OWNER_VARIABLE}={state_dir}".encode()
    for folder in _process_folders():
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended, or it is another user's
        pid = int(folder.name)
        if pid != os.getpid() and mark in variables and (ticks := _start_ticks(pid)) is not None:
            yield Process(pid=pid, start_ticks=ticks)
