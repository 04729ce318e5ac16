"""Removes the finalizers from task Pods once the operator is uninstalled: `python -m penstock_operator.uninstall`.

A task's Pod carries a finalizer until its outcome is stored, and only the operator removes it. Without an operator such
a Pod cannot be deleted, nor can its namespace. The Pods themselves are not touched: running ones continue, and an
operator that is installed again finds them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from kubernetes import client, config, watch

from penstock.api.names import FINALIZER, LABEL_RUN_UID

PAGE = 500
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
# Removed by name: other finalizers stay, also those that are added meanwhile.
WITHOUT_FINALIZER = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}


def remove_finalizers(core: client.CoreV1Api, namespace: str = "") -> int:
    """Remove our finalizer from every task Pod.

    Args:
        core: the API server.
        namespace: the one namespace to handle; empty: all.

    Returns:
        The number of Pods that it was removed from.

    Raises:
        ApiException: the API server refused.
    """
    changed = 0
    for pod in _task_pods(core, namespace):
        if FINALIZER not in (pod.metadata.finalizers or ()):
            continue
        try:
            core.patch_namespaced_pod(
                pod.metadata.name, pod.metadata.namespace, WITHOUT_FINALIZER, _content_type=STRATEGIC_MERGE
            )
        except client.ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        else:
            changed += 1
    return changed


def wait_until_gone(core: client.CoreV1Api, namespace: str, selector: str, timeout_s: int) -> bool:
    """Wait for the operator's Pods to be gone, so that no new task Pods are created meanwhile.

    Args:
        core: the API server.
        namespace: the operator's namespace.
        selector: label selector of its Pods.
        timeout_s: longest wait, seconds.

    Returns:
        Whether they are gone.

    Raises:
        ApiException: the API server refused.
    """
    list_pods: Callable[..., Any] = partial(core.list_namespaced_pod, namespace, label_selector=selector)
    found = list_pods()
    left = {pod.metadata.uid for pod in found.items}
    if not left:
        return True
    events = watch.Watch().stream(  # type: ignore[no-untyped-call]  # the client's watch has no types
        list_pods, resource_version=found.metadata.resource_version, timeout_seconds=timeout_s
    )
    for event in events:
        uid = event["object"].metadata.uid
        if event["type"] == "DELETED":
            left.discard(uid)
        else:
            left.add(uid)
        if not left:
            return True
    return False


def _task_pods(core: client.CoreV1Api, namespace: str) -> Iterator[Any]:
    list_pods: Callable[..., Any] = (
        partial(core.list_namespaced_pod, namespace) if namespace else core.list_pod_for_all_namespaces
    )
    token = None
    while True:
        found = list_pods(label_selector=LABEL_RUN_UID, limit=PAGE, _continue=token)
        yield from found.items
        token = found.metadata._continue  # noqa: SLF001 - the client's name for a field that is called `continue`
        if not token:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m penstock_operator.uninstall", description=__doc__)
    parser.add_argument("--namespace", default="", help="namespaces to handle, separated by commas (default: all)")
    parser.add_argument("--operator-namespace", default="", help="first wait until no operator runs in this namespace")
    parser.add_argument("--operator-selector", default="", help="label selector of the operator's Pods")
    parser.add_argument("--timeout", type=int, default=120, help="longest wait for the operator to end, in seconds")
    options = parser.parse_args(arguments)
    config.load_config()  # type: ignore[no-untyped-call]  # the client's configuration has no types
    core = client.CoreV1Api()
    gone = not options.operator_namespace or wait_until_gone(
        core, options.operator_namespace, options.operator_selector, options.timeout
    )
    changed = sum(remove_finalizers(core, each) for each in options.namespace.split(","))
    print(f"removed the finalizer from {changed} task Pods")  # noqa: T201 - this is a command
    if not gone:
        print(  # noqa: T201 - this is a command
            f"operator Pods are still in namespace {options.operator_namespace} after {options.timeout} s and may have "
            "created more task Pods: delete them, then run this again",
            file=sys.stderr,
        )
    return 0 if gone else 1


if __name__ == "__main__":
    sys.exit(main())
