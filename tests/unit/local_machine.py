"""`penstock run --local` as a person types it, in a folder of the test's own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from penstock.cli.main import main
from penstock.local.pods.container_runtime import can_mount

DEADLINE_S = 60
HAS_MOUNTS = can_mount()
API_VERSION = "penstock.dev/v1alpha1"


class Ran(NamedTuple):
    """A finished run."""

    code: int
    run: Any
    """The FlowRun that was printed; None if none was."""
    log: str
    """What stood on standard error."""

    @property
    def status(self) -> Any:
        return self.run["status"]

    def task(self, name: str) -> Any:
        return next(task for task in self.status["tasks"] if task["name"] == name)

    @property
    def states(self) -> dict[str, str]:
        return {task["name"]: task["state"] for task in self.status["tasks"]}


def flow(tasks: Any, name: Any = "it", **spec: Any) -> str:
    """Return a Flow whose tasks are given as YAML or as objects; each needs no image."""
    listed = yaml.safe_load(tasks) if isinstance(tasks, str) else tasks
    body = {"tasks": listed, "defaults": {"image": "x"}, **spec}
    return document({"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": name}, "spec": body})


def document(content: Any) -> str:
    """Return a document of a file, as JSON: which is YAML in which no word is a boolean by mistake."""
    return f"---\n{json.dumps(content, indent=2)}\n"


def is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def write_outputs(**outputs: Any) -> str:
    """Return a script that has these outputs."""
    return f"cat > $PENSTOCK_OUTPUTS <<'END'\n{json.dumps(outputs)}\nEND\n"


class Machine:
    """Runs manifests in this process.

    Args:
        folder: where they are.
        capture: pytest's `capfd`.
    """

    def __init__(self, folder: Path, capture: Any) -> None:
        self.folder = folder
        self._capture = capture

    def write(self, *texts: str, file: str = "flow.yaml") -> str:
        path = self.folder / file
        path.write_text("\n".join(texts))
        return str(path)

    def run(self, manifest: str, *words: str) -> Ran:
        """Run a manifest, and read the FlowRun that is printed."""
        return self.type("run", "--local", self.write(manifest), "-o", "json", *words)

    def type(self, *words: str) -> Ran:
        code = main(words)
        printed, log = self._capture.readouterr()
        return Ran(code, json.loads(printed) if printed.startswith("{") else None, log)


class Terminal:
    """`penstock` in a terminal: what it writes is read, keys are pressed.

    Args:
        folder: where it is started.
        words: after `penstock`.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        main_end, other_end = pty.openpty()
        self.text = ""
        self._end = main_end
        self._process = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli.main", *words],
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            cwd=folder,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
            start_new_session=True,
            preexec_fn=lambda: _take_terminal(0),  # noqa: PLW1509 - this process has no other thread by then
        )
        os.close(other_end)

    def wait_for(self, text: str) -> None:
        """Read until a text has been written since the last call."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.text:
            self._read(deadline, text)
        self.text = self.text.partition(text)[2]

    def press(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Read to the end; returns the exit code."""
        deadline = time.monotonic() + DEADLINE_S
        try:
            while True:
                self._read(deadline, "the end")
        except OSError:
            return self._process.wait(DEADLINE_S)
        finally:
            os.close(self._end)

    def _read(self, deadline: float, what: str) -> None:
        ready, _, _ = select.select([self._end], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            self._process.kill()
            raise AssertionError(f"{what!r} was not written within {DEADLINE_S} s, but {self.text!r}")
        chunk = os.read(self._end, 65536)
        if not chunk:
            raise OSError("the terminal was closed")
        self.text += chunk.decode(errors="replace").replace("\r\n", "\n")


def _take_terminal(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored, if the tests were started in the background
    import fcntl  # noqa: PLC0415 - in the new process only
    import termios  # noqa: PLC0415 - as above

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
