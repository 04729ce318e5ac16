"""A file of stored objects: read from an API server, and put into the etcd of another, uids and statuses included."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.chaos.ledger import put
from tests.cluster.api_server import ApiServer
from tests.cluster.component import start, wait_ready
from tests.cluster.control_plane import components
from tests.cluster.plan import LOOPBACK, Plan
from tests.cluster.process import Processes
from tests.upgrade.journey import LONG

FOLDER: Final = Path(__file__).parent
MANAGER: Final = "controller-manager"
RUN_FOR: Final = "fake.penstock.dev/run-for"
REST_S: Final = "1s"
"""How long a Pod still runs that was running."""


class Kind(NamedTuple):
    """A kind of object, as the API server and its etcd address it."""

    api: str
    storage: str
    api_version: str
    name: str
    selector: str = ""


KINDS: Final = (
    Kind("apis/penstock.dev/v1alpha1", "penstock.dev/flows", "penstock.dev/v1alpha1", "Flow"),
    Kind("apis/penstock.dev/v1alpha1", "penstock.dev/schedules", "penstock.dev/v1alpha1", "Schedule"),
    Kind("apis/penstock.dev/v1alpha1", "penstock.dev/backfills", "penstock.dev/v1alpha1", "Backfill"),
    Kind("apis/penstock.dev/v1alpha1", "penstock.dev/flowruns", "penstock.dev/v1alpha1", "FlowRun"),
    Kind("api/v1", "configmaps", "v1", "ConfigMap", "app.kubernetes.io/managed-by=penstock"),
    Kind("api/v1", "pods", "v1", "Pod"),
    Kind("apis/batch/v1", "jobs", "batch/v1", "Job"),
)


def record(server: ApiServer, namespace: str, file: Path) -> int:
    """Write the objects of a namespace to a file; returns how many they are."""
    lines = []
    for kind in KINDS:
        path = f"/{kind.api}/namespaces/{namespace}/{kind.storage.rpartition('/')[2]}?labelSelector={kind.selector}"
        for item in server.call("GET", path)["items"]:
            for field in ("managedFields", "resourceVersion"):
                item["metadata"].pop(field, None)
            lines.append(json.dumps({"apiVersion": kind.api_version, "kind": kind.name, **item}, sort_keys=True))
    file.write_text("\n".join(lines) + "\n")
    return len(lines)


def play(file: Path, state_dir: Path, namespace: str) -> Counter[str]:
    """Store the objects of a file in a cluster with fake nodes, in another namespace; returns how many of each kind.

    Args:
        file: as `record` wrote it.
        state_dir: of the cluster.
        namespace: an empty one.
    """
    plan = Plan.must_load(state_dir)
    etcd = f"http://{LOOPBACK}:{plan.ports['etcd']}"
    storage = {kind.name: kind.storage for kind in KINDS}
    values: dict[str, str] = {}
    count: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        item = json.loads(line)
        item["metadata"]["namespace"] = namespace
        if item["kind"] == "Pod":
            _move(item, plan)
        values[f"/registry/{storage[item['kind']]}/{namespace}/{item['metadata']['name']}"] = json.dumps(item)
        count[item["kind"]] += 1
    processes = Processes(state_dir)
    (manager,) = (component for component in components(plan) if component.name == MANAGER)
    # Its caches of Pods and of Jobs get their changes apart: it would give a Job another Pod, or delete a Pod whose
    # owner it does not know yet. A new one reads all before it acts.
    processes.stop(MANAGER)
    put(etcd, values)
    start(manager, processes)
    wait_ready([manager], processes)
    return count


def _move(pod: dict[str, Any], plan: Plan) -> None:
    """Let a Pod run on a node of this cluster, and not much longer."""
    if node := pod["spec"].get("nodeName"):
        pod["spec"]["nodeName"] = f"{plan.name}-{int(node.rpartition('-')[2]) % plan.nodes}"
    annotations = pod["metadata"].get("annotations", {})
    if annotations.get(RUN_FOR) == LONG:
        annotations[RUN_FOR] = REST_S
