"""What a cluster's processes and its API server have done so far: CPU time, memory, requests."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process in seconds: fields 14 and 15 of /proc/PID/stat (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_mib(pid: int) -> float:
    """Return the most memory that a process ever had resident, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@dataclass(frozen=True)
class Account:
    """Counters at one moment; `since` gives what happened between two.

    Attributes:
        cpu: CPU time by process, in seconds.
        requests: requests to the API server, by verb and resource.
    """

    cpu: dict[str, float]
    requests: Counter[tuple[str, str]]

    @classmethod
    def take(cls, pids: dict[str, int], metrics: str) -> Account:
        """Read the counters.

        Args:
            pids: the processes by name.
            metrics: what the API server says at /metrics.
        """
        requests: Counter[tuple[str, str]] = Counter()
        for family in text_string_to_metric_families(metrics):
            if family.name == "apiserver_request":
                for sample in family.samples:
                    if sample.name == "apiserver_request_total":
                        labels = sample.labels
                        resource = labels["resource"] + (f"/{labels['subresource']}" if labels["subresource"] else "")
                        requests[labels["verb"], resource] += int(sample.value)
        return cls({name: cpu_s(pid) for name, pid in pids.items()}, requests)

    def since(self, before: Account) -> Account:
        """Return what happened since another moment."""
        return Account(
            {name: self.cpu[name] - before.cpu.get(name, 0.0) for name in self.cpu},
            Counter(
                {
                    key: count - before.requests[key]
                    for key, count in self.requests.items()
                    if count - before.requests[key]
                }
            ),
        )

    @property
    def writes(self) -> int:
        """Number of writes of all clients, Leases left out: those of nodes and leaders go on in any case."""
        return sum(
            count
            for (verb, resource), count in self.requests.items()
            if verb in WRITES and not resource.startswith("leases")
        )
