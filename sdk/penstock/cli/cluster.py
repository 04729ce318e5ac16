"""The cluster that a command talks to: the only module of the command line that sends anything.

Uses the official client, so that every kind of kubeconfig works. Changes are followed by watching, never by asking
again and again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import urllib3.exceptions
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from penstock.api.names import GROUP, LABEL_RUN, MAIN_CONTAINER, VERSION
from penstock.cli.progress import Object
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError

WATCH_S: Final = 300
"""The server ends a watch after this time; the next one goes on where it stopped."""
READ_TIMEOUT_S: Final = WATCH_S + 30
"""Silence for longer than a watch may last means that the connection is dead."""
CONNECT_TIMEOUT_S: Final = 10
RECONNECT_S: Final = 1
"""Between a broken connection and the next one, so that a sick server isn't hammered."""
RECONNECTS: Final = 60
"""Connections in a row that may break before a watch gives up: an API server that restarts is back by then."""
SERVICE_ACCOUNT_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE, TOO_MANY, SERVER_ERROR = 400, 401, 403, 404, 410, 429, 500

_config: Any = config  # the functions of this module have no types


class Event(NamedTuple):
    """One change of an object that is followed."""

    type: str
    """ADDED, MODIFIED or DELETED."""
    object: Object


class Cluster:
    """The FlowRuns, Flows and Pods of one namespace.

    Args:
        api: the client, with its credentials.
        namespace: the namespace of everything that is read and created.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        self.namespace = namespace
        self._api = api
        self._custom: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)

    @classmethod
    def connect(cls, arguments: argparse.Namespace) -> Cluster:
        """Find the cluster: the kubeconfig that was named, the usual one, or that of the Pod this runs in.

        Args:
            arguments: with `namespace`, `context` and `kubeconfig`, each None unless typed.

        Raises:
            CommandError: there is no such kubeconfig or context.
        """
        # The client reports each attempt to reconnect as a warning; the error at the end says it better, once.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        if arguments.kubeconfig is None and arguments.context is None and _is_in_pod():
            configuration = client.Configuration()
            _config.load_incluster_config(client_configuration=configuration)
            namespace = SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
            return cls(client.ApiClient(configuration), arguments.namespace or namespace)
        try:
            contexts, current = _config.list_kube_config_contexts(config_file=arguments.kubeconfig)
            api = _config.new_client_from_config(config_file=arguments.kubeconfig, context=arguments.context)
        except (ConfigException, OSError) as error:
            raise CommandError(
                f"no cluster: {str(error).rstrip('.')}. Name one with --kubeconfig, --context or $KUBECONFIG"
            ) from error
        chosen = next((each for each in contexts if each["name"] == arguments.context), current)
        return cls(api, arguments.namespace or chosen["context"].get("namespace") or "default")

    def flow(self, name: str) -> Object:
        """Get a Flow.

        Raises:
            CommandError: there is none of this name; says which there are.
        """
        return self._named("flows", "Flow", name)

    def run(self, name: str) -> Object:
        """Get a FlowRun.

        Raises:
            CommandError: there is none of this name; says which there are.
        """
        return self._named("flowruns", "FlowRun", name)

    def create_run(self, body: Object) -> Object:
        """Create a FlowRun.

        Raises:
            CommandError: the cluster refused it, in its own words.
        """
        with self._spoken():
            created: Object = self._custom.create_namespaced_custom_object(
                GROUP, VERSION, self.namespace, "flowruns", body
            )
            return created

    def follow_run(self, name: str) -> Generator[Object]:
        """Yield a FlowRun as it is now, and again whenever it changes.

        Raises:
            CommandError: there is none of this name, or it was deleted.
        """
        run = self.run(name)
        listing = _Listing(
            self._custom.list_namespaced_custom_object,
            (GROUP, VERSION, self.namespace, "flowruns"),
            {"field_selector": f"metadata.name={name}"},
        )
        with self._spoken():
            for event in self._follow(listing, {run["metadata"]["uid"]: run}):
                if event.type == "DELETED":
                    raise CommandError(f"FlowRun {name} was deleted")
                yield event.object

    def pods(self, run: str) -> list[Object]:
        """List the Pods of a FlowRun that still exist."""
        with self._spoken():
            return self._items(self._pods_of(run))[1]

    def follow_pods(self, run: str) -> Iterator[Event]:
        """Yield the Pods of a FlowRun, those that are there first, and each again whenever it changes."""
        with self._spoken():
            yield from self._follow(self._pods_of(run), {})

    def log(self, pod: str, *, follow: bool) -> Iterator[str]:
        """Yield the lines that the task in a Pod wrote, without their line ends.

        Args:
            pod: name of the Pod; its container must have started.
            follow: whether to wait for further lines until the container ends.

        Raises:
            CommandError: the Pod or its log is gone.
        """
        with self._spoken():
            response = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=MAIN_CONTAINER, follow=follow, _preload_content=False
            )
            if response.status >= BAD_REQUEST:
                raise ApiException(http_resp=response)
            yield from _lines(response)

    def _named(self, plural: str, kind: str, name: str) -> Object:
        with self._spoken():
            try:
                found: Object = self._custom.get_namespaced_custom_object(GROUP, VERSION, self.namespace, plural, name)
            except ApiException as error:
                if error.status != NOT_FOUND:
                    raise
            else:
                return found
            try:
                others = self._custom.list_namespaced_custom_object(GROUP, VERSION, self.namespace, plural)["items"]
            except ApiException as error:
                if error.status != NOT_FOUND:
                    raise
                raise CommandError(
                    f"the cluster does not know {kind}s: Penstock is not installed there (helm install, see the README)"
                ) from error
        names = [other["metadata"]["name"] for other in others]
        raise CommandError(f"no {kind} {name} in namespace {self.namespace}{_alternatives(name, names)}")

    def _pods_of(self, run: str) -> _Listing:
        return _Listing(self._core.list_namespaced_pod, (self.namespace,), {"label_selector": f"{LABEL_RUN}={run}"})

    def _items(self, listing: _Listing) -> tuple[str, list[Object]]:
        answer = self._api.sanitize_for_serialization(listing.function(*listing.arguments, **listing.options))
        return answer["metadata"]["resourceVersion"], answer["items"]

    def _follow(self, listing: _Listing, known: Mapping[str, Object]) -> Iterator[Event]:
        while True:
            version, objects = self._items(listing)
            current = {each["metadata"]["uid"]: each for each in objects}
            # What was deleted while no watch was open is told by nobody: it is missing, that's all.
            yield from (Event("DELETED", each) for uid, each in known.items() if uid not in current)
            yield from (Event("MODIFIED", each) for each in objects)
            known = current
            try:
                for event in self._watch(listing, version):
                    current[event.object["metadata"]["uid"]] = event.object
                    yield event
            except ApiException as error:
                if error.status != GONE:
                    raise

    def _watch(self, listing: _Listing, version: str) -> Iterator[Event]:
        stream: Any = watch.Watch()  # type: ignore[no-untyped-call]  # the library's class has no types
        failures = 0
        while True:
            try:
                for event in stream.stream(
                    listing.function,
                    *listing.arguments,
                    **listing.options,
                    resource_version=version,
                    timeout_seconds=WATCH_S,
                    _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                ):
                    failures = 0
                    yield Event(event["type"], event["raw_object"])
            except (urllib3.exceptions.HTTPError, ApiException) as error:
                failures += 1
                if failures > RECONNECTS or not _may_pass(error):
                    raise
                time.sleep(RECONNECT_S)
            version = stream.resource_version or version

    @contextlib.contextmanager
    def _spoken(self) -> Iterator[None]:
        """Turn what the client raises into words for the person who typed the command."""
        try:
            yield
        except ApiException as error:
            raise CommandError(_refusal(error)) from error
        except urllib3.exceptions.HTTPError as error:
            host = self._api.configuration.host
            raise CommandError(f"can't reach the API server at {host}: {_innermost(error)}") from error


class _Listing(NamedTuple):
    """A list call that can also be watched."""

    function: Callable[..., Any]
    arguments: tuple[str, ...]
    options: dict[str, str]


def _is_in_pod() -> bool:
    has_kubeconfig = "KUBECONFIG" in os.environ or Path("~/.kube/config").expanduser().exists()
    return not has_kubeconfig and SERVICE_ACCOUNT_NAMESPACE.exists()


def _alternatives(name: str, names: list[str]) -> str:
    if not names:
        return ": there are none; -n names another namespace"
    return suggest(name, names) or f": there are {enumerate_names(sorted(names))}"


def _refusal(error: ApiException) -> str:
    message = error.reason
    with contextlib.suppress(ValueError, AttributeError):
        message = json.loads(error.body or "").get("message") or message
    if error.status == UNAUTHORIZED:
        return "the API server does not accept the credentials of the kubeconfig"
    if error.status == FORBIDDEN:
        return f"not allowed: {message}"
    return str(message)


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, ApiException):
        return True
    return error.status == TOO_MANY or (error.status or 0) >= SERVER_ERROR


def _innermost(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _innermost(reason) if isinstance(reason, BaseException) else str(error)


def _lines(response: Any) -> Iterator[str]:
    rest = b""
    for chunk in response.stream(decode_content=True):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
