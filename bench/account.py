"""What a cluster's processes and its API server have done so far: CPU time, memory, requests."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
METRICS: Final = ("apiserver_request_total", "apiserver_request_body_size_bytes_sum")
"""What is read of the API server's metrics: https://kubernetes.io/docs/reference/instrumentation/metrics/."""
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process in seconds: fields 14 and 15 of /proc/PID/stat (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_mib(pid: int) -> float:
    """Return the most memory that a process ever had resident, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def resident_mib(pid: int) -> float:
    """Return the memory that a process has resident, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@dataclass(frozen=True)
class Account:
    """Counters at one moment; `since` gives what happened between two.

    Attributes:
        cpu: CPU time by process, in seconds.
        requests: requests to the API server, by verb and resource.
        bytes_written: bytes of the bodies of all requests but those about Leases.
    """

    cpu: dict[str, float]
    requests: Counter[tuple[str, str]]
    bytes_written: float

    @classmethod
    def take(cls, pids: dict[str, int], metrics: str) -> Account:
        """Read the counters.

        Args:
            pids: the processes by name.
            metrics: what the API server says at /metrics.
        """
        requests: Counter[tuple[str, str]] = Counter()
        bytes_written = 0.0
        # The parser takes long over all of them, most of which are buckets.
        lines = (line for line in metrics.splitlines() if line.startswith(METRICS))
        for family in text_string_to_metric_families("\n".join(lines)):
            for sample in family.samples:
                labels = sample.labels
                if sample.name == "apiserver_request_total":
                    resource = labels["resource"] + (f"/{labels['subresource']}" if labels["subresource"] else "")
                    requests[labels["verb"], resource] += int(sample.value)
                elif labels["resource"] != "leases":
                    bytes_written += sample.value
        return cls({name: cpu_s(pid) for name, pid in pids.items()}, requests, bytes_written)

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
            self.bytes_written - before.bytes_written,
        )

    @property
    def writes(self) -> int:
        """Number of writes of all clients, Leases left out: those of nodes and leaders are written in any case."""
        return sum(
            count
            for (verb, resource), count in self.requests.items()
            if verb in WRITES and not resource.startswith("leases")
        )
