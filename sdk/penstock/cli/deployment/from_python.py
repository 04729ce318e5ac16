"""`flow.deploy(...)` and `deploy(...)`: what `penstock deploy` does, from Python."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from penstock.authoring.deployment import Deployment
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.apply import resource_name
from penstock.cli.deployment.deployment import Code, build_manifests, wait_until_ready
from penstock.cli.deployment.deployment import deploy as apply_all
from penstock.errors import OptionError

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
    """Put flows into a cluster.

    Args:
        deployments: the flows, with their schedules.
        image: image of the tasks that name none.
        inline: whether the code goes into a ConfigMap.
        source: where Pods fetch the code from.
        storage: where big results go.
        wait: whether to wait until the Flows are ready.
        timeout: how long, in seconds.
        force_conflicts: whether to take over fields that somebody else manages.
        print_next_steps: whether to print what was done.
        namespace: as `kubectl -n`.
        context: as `kubectl --context`.
        kubeconfig: as `kubectl --kubeconfig`.

    Returns:
        The names of the Flows.

    Raises:
        OptionError: nothing is to be deployed, or the code is to come in two ways.
        CommandError: the cluster refused something.
    """
    if not deployments:
        raise OptionError("deploy() needs at least one deployment: flow.to_deployment(...)")
    if inline and source:
        raise OptionError("inline=True and source=...: the code comes in one way")
    cluster = Cluster.connect(argparse.Namespace(namespace=namespace, context=context, kubeconfig=kubeconfig))
    code = Code(image=image, is_inline=inline, source=source, storage=storage)
    # All are built before one is applied: a mistake in the last one leaves the cluster as it was.
    made = [build_manifests(deployment, code, cluster) for deployment in deployments]
    names: list[str] = []
    for manifests in made:
        done = apply_all(cluster, manifests, force=force_conflicts)
        names.append(done.flow["metadata"]["name"])
        if print_next_steps:
            for each in done.applied:
                print(f"{resource_name(each.object)} {each.change}")
            print(f"Next: {cluster.hint(f'run {names[-1]} --watch')}")
        if wait:
            wait_until_ready(cluster, done.flow, timeout)
    return names
