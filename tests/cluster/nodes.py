"""The nodes of a cluster, as its API server sees them."""

import http.client
from urllib.error import HTTPError

from tests.cluster.api_server import ApiServer, wait_until
from tests.cluster.component import Health

ACCOUNT_TIMEOUT_S = 30.0


def node_health(server: ApiServer) -> list[Health]:
    """Of each node; empty when the API server, which has a line of its own, can't be asked."""
    try:
        nodes = server.nodes()
    except (OSError, http.client.HTTPException):
        return []
    if not nodes:
        return [Health("nodes", is_well=False, detail="there are none")]
    return [
        Health(f"node {name}", is_well=is_ready, detail="Ready" if is_ready else "not Ready")
        for name, is_ready in sorted(nodes.items())
    ]


def wait_nodes_ready(server: ApiServer, *, count: int, timeout_s: float) -> None:
    """Wait until at least so many nodes are ready.

    Raises:
        ClusterError: they did not become so; the message has what was seen last.
    """
    seen: dict[str, bool] = {}

    def are_ready() -> bool:
        try:
            seen.update(server.nodes())
        except (OSError, http.client.HTTPException):
            return False
        return sum(seen.values()) >= count

    wait_until(
        are_ready,
        timeout_s=timeout_s,
        explain=lambda: f"{sum(seen.values())} of {count} nodes are ready after {timeout_s:.0f} s: {seen}",
    )


def wait_pods_welcome(server: ApiServer) -> None:
    """Wait until the default namespace has its service account: until then the API server refuses every Pod in it."""

    def has_account() -> bool:
        try:
            server.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        except HTTPError:
            return False
        return True

    wait_until(
        has_account,
        timeout_s=ACCOUNT_TIMEOUT_S,
        explain=lambda: "the default namespace got no service account: see the log of the controller-manager",
    )
