"""Checks whether an installation works, for `helm test`: `python -m penstock_operator.helm_test`.

It checks three things and stores nothing: whether an operator is ready, whether the API server accepts a valid Flow,
and whether it rejects one whose fault only the operator's webhook can find.
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
from penstock.printable import make_printable

TIMEOUT_S = 10


def flow(depends_on: dict[str, list[str]]) -> dict[str, Any]:
    """Build a Flow of these tasks, each with the tasks that it depends on."""
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


VALID = flow({"first": [], "second": ["first"]})
# The schema cannot find a cycle: only the webhook rejects it.
CYCLE = flow({"first": ["second"], "second": ["first"]})


def fault_of_readiness(url: str) -> str:
    """Check whether an operator is ready; returns the fault, empty if there is none."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310 - the URL is made here, of http
            reply.read()
    except (urllib.error.URLError, TimeoutError) as error:
        return f"no operator is ready at {url} ({error}): check its Pods and their logs"
    return ""


def fault_of_dry_run(api: client.CustomObjectsApi, namespace: str) -> str:
    """Check whether a valid Flow is accepted; returns the fault, empty if there is none."""
    try:
        _dry_run(api, namespace, VALID)
    except client.ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return f"the API server does not serve Flows of {API_VERSION}: install the CustomResourceDefinitions"
        return f"a valid Flow is rejected: {_message(error)}"
    return ""


def fault_of_webhook(api: client.CustomObjectsApi, namespace: str) -> str:
    """Check whether the webhook rejects a Flow with a cycle; returns the fault, empty if there is none."""
    try:
        _dry_run(api, namespace, CYCLE)
    except client.ApiException as error:
        message = _message(error)
        return (
            ""
            if "admission webhook" in message
            else f"a Flow with a cycle is rejected, but not by the webhook: {message}"
        )
    return (
        "a Flow with a cycle is accepted, so the webhook was not called: the API server cannot reach its Service, "
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
    parser.add_argument("--operator-address", default="", help="address of the operator (default: do not check it)")
    parser.add_argument("--http-port", type=int, default=8080, help="port of its probes")
    parser.add_argument("--namespace", default="default", help="a namespace that the operator watches")
    parser.add_argument("--webhook", choices=("true", "false"), default="true", help="whether the webhook is installed")
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
        print(make_printable(fault), file=sys.stderr)  # noqa: T201 - this is a command
    return 1 if any(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
