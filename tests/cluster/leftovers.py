"""What containers leave behind when those who started them are gone: processes, mounts, cgroups."""

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# The cgroup that a kubelet puts all Pods in.
POD_CGROUP = "kubepods"
KILL_TIMEOUT_S = 10.0
POLL_S = 0.05
# umount2(2): out of sight at once, gone when nobody uses it any more.
MNT_DETACH = 2


def kill_pod_processes() -> None:
    """Kill every process in a Pod's cgroup; for a machine with one kubelet, which is not running any more."""
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while pids := _pod_processes():
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline_s:
            return
        time.sleep(POLL_S)


def unmount_below(folder: Path) -> None:
    """Undo every mount below a folder, the innermost first."""
    libc = ctypes.CDLL(None, use_errno=True)
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # Field 5 is the mount point, with blanks and the like as octal numbers: proc(5).
        point = line.split()[4].encode().decode("unicode_escape")
        if Path(point).is_relative_to(folder):
            mounts.append(point)
    for point in reversed(mounts):
        libc.umount2(point.encode(), MNT_DETACH)


def remove_pod_cgroups() -> None:
    """Remove the emptied cgroups of all Pods, in every hierarchy."""
    for top in _pod_cgroups():
        for folder in sorted(top.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        with suppress(OSError):
            top.rmdir()


def _pod_cgroups() -> list[Path]:
    # Version 2 has one hierarchy, version 1 one folder for each controller.
    return [path for path in (CGROUPS / POD_CGROUP, *CGROUPS.glob(f"*/{POD_CGROUP}")) if path.is_dir()]


def _pod_processes() -> set[int]:
    pids: set[int] = set()
    for top in _pod_cgroups():
        for file in top.rglob("cgroup.procs"):
            with suppress(OSError):
                pids.update(int(pid) for pid in file.read_text().split())
    return pids
