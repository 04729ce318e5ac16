"""`flow.deploy(...)` and `deploy(...)`: what `penstock deploy` does, from Python."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from penstock.authoring.deployments.deployment import Deployment
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.apply import resource_name
from penstock.cli.deployment.deployment import Code, build_manifests, wait_until_ready
from penstock.cli.deployment.deployment import deploy as apply_all
from penstock.cli.text.echo import echo
from penstock.errors import OptionError
from penstock.memory_limit import limit_expression_memory

READY_S = 120.0


def deploy(
    deployments: Sequence[Deployment],
    *,
    image: str | None = None,
    inline: bool = False,
    source: str | None = None,
    storage: str | None = None,
    wait: bool = False,
    timeout: float = READY_S,
    force_conflicts: bool = False,
    print_next_steps: bool = True,
    namespace: str | None = None,
    context: str | None = None,
    kubeconfig: str | None = None,
) -> list[str]:
    """Deploy flows.

    Args:
        deployments: the flows with their schedules.
        image: image of tasks that set no image.
        inline: whether to store the code in a ConfigMap.
        source: URL from which Pods fetch the code.
        storage: where to store large results.
        wait: whether to wait until the Flows are Ready.
        timeout: maximum time to wait, in seconds.
        force_conflicts: whether to take ownership of fields of other field managers.
        print_next_steps: whether to print what was done.
        namespace: as `kubectl -n`.
        context: as `kubectl --context`.
        kubeconfig: as `kubectl --kubeconfig`.

    Returns:
        The names of the Flows.

    Raises:
        OptionError: there are no deployments, or both `inline` and `source` are given.
        CommandError: the API server rejected an object.
    """
    limit_expression_memory()
    if not deployments:
        raise OptionError("deploy() needs at least one deployment: flow.to_deployment(...)")
    if inline and source:
        raise OptionError("inline=True and source=... exclude each other")
    cluster = Cluster.connect(argparse.Namespace(namespace=namespace, context=context, kubeconfig=kubeconfig))
    code = Code(image=image, is_inline=inline, source=source, storage=storage)
    # All are built before the first is applied: an error in one of them changes nothing in the cluster.
    built = [build_manifests(deployment, code, cluster) for deployment in deployments]
    names: list[str] = []
    for manifests in built:
        done = apply_all(cluster, manifests, force=force_conflicts)
        names.append(done.flow["metadata"]["name"])
        if print_next_steps:
            for each in done.applied:
                echo(f"{resource_name(each.object)} {each.change}")
            echo(f"Next: {cluster.hint(f'run {names[-1]} --watch')}")
        if wait:
            wait_until_ready(cluster, done.flow, timeout)
    return names
