"""Asks an installation whether it works, for `helm test`: `python -m penstock_operator.helm_test`.

It asks three things and stores nothing: whether an operator is ready, whether the API server takes a sound Flow, and
whether it refuses one that only the operator's webhook can know to be faulty.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from kubernetes import client, config

from penstock.api.names import API_VERSION, GROUP, VERSION

TIMEOUT_S = 10


def flow(depends_on: dict[str, list[str]]) -> dict[str, Any]:
    """Make a Flow whose tasks depend on each other like this."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Flow",
        "metadata": {"generateName": "smoke-"},
        "spec": {
            "tasks": [
                {"name": name, "image": "smoke", "command": ["true"], **({"dependsOn": before} if before else {})}
                for name, before in depends_on.items()
            ]
        },
    }


SOUND = flow({"first": [], "second": ["first"]})
# The schema can't see a cycle: only the webhook refuses it.
CYCLE = flow({"first": ["second"], "second": ["first"]})


def fault_of_readiness(url: str) -> str:
    """Ask an operator whether it is ready; return what is wrong, empty when nothing is."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310 - the URL is made here, of http
            reply.read()
    except (urllib.error.URLError, TimeoutError) as error:
        return f"no operator says at {url} that it is ready ({error}): look at its Pods and their logs"
    return ""


def fault_of_dry_run(api: client.CustomObjectsApi, namespace: str) -> str:
    """Have a sound Flow checked; return what is wrong, empty when nothing is."""
    try:
        _dry_run(api, namespace, SOUND)
    except client.ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return f"the API server knows no Flows of {API_VERSION}: install the CustomResourceDefinitions"
        return f"a sound Flow is refused: {_message(error)}"
    return ""


def fault_of_webhook(api: client.CustomObjectsApi, namespace: str) -> str:
    """Have a Flow with a cycle checked; return what is wrong, empty when the webhook refuses it."""
    try:
        _dry_run(api, namespace, CYCLE)
    except client.ApiException as error:
        message = _message(error)
        return "" if "admission webhook" in message else f"a Flow with a cycle is refused, but for this: {message}"
    return (
        "a Flow with a cycle is accepted, so the webhook was not asked: the API server can't reach its Service, "
        "or its certificate is not the one in the ValidatingWebhookConfiguration"
    )


def _dry_run(api: client.CustomObjectsApi, namespace: str, body: dict[str, Any]) -> None:
    api.create_namespaced_custom_object(GROUP, VERSION, namespace, "flows", body, dry_run="All")


def _message(error: client.ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m penstock_operator.helm_test", description=__doc__)
    parser.add_argument("--operator-address", default="", help="where the operator is (default: don't ask it)")
    parser.add_argument("--http-port", type=int, default=8080, help="that port")
    parser.add_argument("--namespace", default="default", help="a namespace that the operator works in")
    parser.add_argument("--webhook", choices=("true", "false"), default="true", help="whether the webhook is on")
    options = parser.parse_args(arguments)
    config.load_config()  # type: ignore[no-untyped-call]  # the client's configuration has no types
    api = client.CustomObjectsApi()
    faults = []
    if options.operator_address:
        host = f"[{options.operator_address}]" if ":" in options.operator_address else options.operator_address
        faults.append(fault_of_readiness(f"http://{host}:{options.http_port}/readyz"))
    faults.append(fault_of_dry_run(api, options.namespace))
    if options.webhook == "true":
        faults.append(fault_of_webhook(api, options.namespace))
    for fault in filter(None, faults):
        print(fault, file=sys.stderr)  # noqa: T201 - this is a command
    return 1 if any(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
