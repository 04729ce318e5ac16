"""The client of the API server that all commands use.

It is based on the official client, which supports every kind of kubeconfig. Changes are watched, never polled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import urllib.parse
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

import penstock
from penstock.api.names import GROUP, LABEL_PARENT_UID, LABEL_RUN, VERSION
from penstock.cli.cluster.api_errors import BAD_REQUEST, NOT_FOUND, refusal_message, translate_errors
from penstock.cli.cluster.listing import CONNECT_TIMEOUT_S, WatchableList, WatchEvent
from penstock.cli.cluster.log_text import WHOLE_LOG, LogOptions, log_lines
from penstock.cli.invocation import cluster_flags, program
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError, RefusalError
from penstock.kube.nesting import cut_depth

RESPONSE_TIMEOUT_S: Final = 60
"""Longer than the API server's own request timeout."""
PAGE_SIZE: Final = 500
"""Objects per list request, as in kubectl."""
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
"""Requests only the metadata of the objects of a list."""
NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NOT_INSTALLED: Final = "the cluster has no kind {}: Penstock is not installed there (run penstock install)"
SERVICE_ACCOUNT_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_config: Any = config  # its functions have no type annotations


class Cluster:
    """The objects of one namespace of a cluster.

    Args:
        api: the client, with its credentials.
        namespace: the namespace of all objects that are read and created.
        flags: the command-line options that selected cluster and namespace, for hints.
    """

    def __init__(self, api: Any, namespace: str, flags: str = "") -> None:
        self.namespace = namespace
        self.flags = flags
        self.host: str = api.configuration.host
        # Its first part becomes the field manager in `metadata.managedFields`.
        api.user_agent = f"penstock/{penstock.__version__}"
        self._api = api

    @classmethod
    def connect(cls, arguments: argparse.Namespace) -> Cluster:
        """Connect to the cluster of --kubeconfig, of the default kubeconfig, or of the Pod that this runs in.

        Args:
            arguments: with `namespace`, `context` and `kubeconfig`, each None unless given.

        Raises:
            CommandError: the kubeconfig or the context does not exist or is invalid.
        """
        # The client logs a warning for each reconnect; the final error is enough.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        if arguments.namespace and not NAMESPACE.fullmatch(arguments.namespace):
            raise CommandError(f"-n {arguments.namespace}: invalid name of a namespace")
        if arguments.kubeconfig is None and arguments.context is None and _is_in_pod():
            configuration = client.Configuration()
            _config.load_incluster_config(client_configuration=configuration)
            namespace = SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
            return cls(client.ApiClient(configuration), arguments.namespace or namespace, cluster_flags(arguments))
        try:
            with _raise_logged_errors():
                contexts, current = _config.list_kube_config_contexts(config_file=arguments.kubeconfig)
                api = _config.new_client_from_config(config_file=arguments.kubeconfig, context=arguments.context)
        except (ConfigException, OSError) as error:
            raise CommandError(
                f"no cluster configured: {str(error).rstrip('.')}. Use --kubeconfig, --context or $KUBECONFIG"
            ) from error
        except (yaml.YAMLError, TypeError, KeyError, AttributeError, ValueError) as error:
            raise CommandError(f"cannot read the kubeconfig: {' '.join(str(error).split())}") from error
        chosen = next((each for each in contexts if each["name"] == arguments.context), current)
        namespace = arguments.namespace or chosen["context"].get("namespace") or "default"
        return cls(api, namespace, cluster_flags(arguments))

    def hint(self, words: str) -> str:
        """Return a command that can be copied and run, with the options for the same cluster and namespace.

        Args:
            words: the command, without the name of the program: `watch my-run`.
        """
        return f"{program()} {words}{self.flags}"

    def get_flow(self, name: str) -> Object:
        """Get a Flow.

        Raises:
            CommandError: it does not exist; the message lists the existing names.
        """
        return self.get_object("flows", "Flow", name)

    def get_run(self, name: str) -> Object:
        """Get a FlowRun.

        Raises:
            CommandError: it does not exist; the message lists the existing names.
        """
        return self.get_object("flowruns", "FlowRun", name)

    def create_run(self, body: Object) -> Object:
        """Create a FlowRun.

        Raises:
            CommandError: the API server rejected it.
        """
        try:
            return self.send("POST", self.object_path("flowruns"), body=body)
        except RefusalError as error:
            if error.status == NOT_FOUND and "namespaces" not in str(error):
                raise CommandError(_NOT_INSTALLED.format("FlowRun")) from error
            raise

    def patch_run(self, run: Object, operations: Sequence[Object]) -> Object:
        """Patch a FlowRun, unless it was replaced by another one with the same name.

        Args:
            run: the FlowRun as it was read.
            operations: a JSON Patch (RFC 6902).

        Raises:
            RefusalError: the API server rejected it.
        """
        return self.patch("flowruns", run, operations)

    def patch(self, plural: str, target: Object, operations: Sequence[Object]) -> Object:
        """Patch one of Penstock's objects, as `patch_run` does; `plural` is its resource."""
        same = {"op": "test", "path": "/metadata/uid", "value": target["metadata"]["uid"]}
        path = self.object_path(plural, target["metadata"]["name"])
        return self.send("PATCH", path, body=[same, *operations], content_type="application/json-patch+json")

    def follow_run(self, name: str) -> Generator[Object]:
        """Yield a FlowRun now, and again at each change.

        Raises:
            CommandError: it does not exist, or it was deleted.
        """
        yield from self.follow("flowruns", "FlowRun", name)

    def follow(self, plural: str, kind: str, name: str, *, until: float | None = None) -> Generator[Object]:
        """Yield one of Penstock's objects now, and again at each change; `plural` and `kind` are its resource.

        The iteration ends at `until` (monotonic clock), if given.
        """
        found = self.get_object(plural, kind, name)
        listing = self._ours(plural, fieldSelector=f"metadata.name={name}")
        with self._translate_errors():
            for event in listing.follow({found["metadata"]["uid"]: found}, until=until):
                if event.type == "DELETED":
                    raise CommandError(f"{kind} {name} was deleted")
                yield event.object

    def follow_children(self, uid: str) -> Iterator[WatchEvent]:
        """Yield the existing child runs of a FlowRun, and then each change.

        Args:
            uid: the uid of the FlowRun.
        """
        with self._translate_errors():
            yield from self._ours("flowruns", labelSelector=f"{LABEL_PARENT_UID}={uid}").follow({})

    def list_pods(self, run: str) -> list[Object]:
        """List the existing Pods of a FlowRun."""
        with self._translate_errors():
            return self._pods_of(run).items()[1]

    def follow_pods(self, run: str) -> Iterator[WatchEvent]:
        """Yield the existing Pods of a FlowRun, and then each change."""
        with self._translate_errors():
            yield from self._pods_of(run).follow({})

    def list_events(self, about: Object) -> list[Object]:
        """List the `events.k8s.io/v1` Events about an object."""
        selector = f"regarding.uid={about['metadata']['uid']}"
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        return [event for page in self.list_pages(path, {"fieldSelector": selector}) for event in page["items"]]

    def list_pages(self, path: str, query: Mapping[str, str], *, accept: str = "application/json") -> Iterator[Object]:
        """List the objects at a path, page by page."""
        more: dict[str, str] = {}
        while True:
            page = self.send("GET", path, query={**query, **more, "limit": str(PAGE_SIZE)}, accept=accept)
            # An empty list of metadata is null.
            page["items"] = page.get("items") or []
            yield page
            if not (token := page["metadata"].get("continue")):
                return
            more = {"continue": token}

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """Send a request, and return the decoded JSON of the response.

        Raises:
            RefusalError: the API server rejected it.
            CommandError: the API server cannot be reached.
        """
        with self._translate_errors():
            response = self._request(
                method,
                path,
                query,
                headers={"Accept": accept, "Content-Type": content_type},
                body=None if body is None else json.dumps(body),
                read_timeout_s=RESPONSE_TIMEOUT_S,
            )
        if response.status >= BAD_REQUEST:
            raise RefusalError(refusal_message(response.status, response.data, response.reason), response.status)
        # Who may create an object can nest it deeper than Python's decoder, and all that prints it, can follow.
        answer: Object = json.loads(cut_depth(response.data))
        return answer

    def open(self, path: str, query: Mapping[str, str], *, read_timeout_s: float | None) -> Any:
        """Send a GET request, and return a response that is read as it comes.

        Args:
            path: with a leading slash.
            query: its parameters.
            read_timeout_s: how long the server may say nothing, in seconds; None: forever.

        Returns:
            A response of urllib3.

        Raises:
            ApiException: the API server rejected it.
        """
        response = self._request("GET", path, query, read_timeout_s=read_timeout_s, preload_content=False)
        if response.status >= BAD_REQUEST:
            raise ApiException(http_resp=response)
        return response

    def read_log(self, pod: str, container: str, *, follow: bool, options: LogOptions = WHOLE_LOG) -> Iterator[str]:
        """Yield the lines of a container's log, without line ends.

        Args:
            pod: name of the Pod.
            container: name of the container, which must have started.
            follow: whether to wait for further lines until the container ends.
            options: which lines.

        Raises:
            CommandError: the Pod or its log no longer exists.
        """
        path = f"{self._pods_path}/{urllib.parse.quote(pod, safe='')}/log"
        query = {"container": container, "follow": json.dumps(follow), **options.given()}
        with self._translate_errors():
            yield from log_lines(self.open(path, query, read_timeout_s=None))

    def get_object(self, plural: str, kind: str, name: str) -> Object:
        """Get one of Penstock's objects; `plural` and `kind` are its resource.

        Raises:
            CommandError: it does not exist; the message lists the existing names.
        """
        if not name:
            raise CommandError(f"the name of the {kind} is empty")
        if found := self.find_object(plural, name):
            return found
        try:
            listing = self.send("GET", self.object_path(plural))
        except RefusalError as error:
            if error.status != NOT_FOUND:
                raise
            raise CommandError(_NOT_INSTALLED.format(kind)) from error
        names = [other["metadata"]["name"] for other in listing["items"]]
        raise CommandError(f"{kind} {name} not found in namespace {self.namespace}{_alternatives(name, names)}")

    def find_object(self, plural: str, name: str) -> Object | None:
        """Get one of Penstock's objects; None if it does not exist. `plural` is its resource."""
        try:
            return self.send("GET", self.object_path(plural, name))
        except RefusalError as error:
            if error.status != NOT_FOUND:
                raise
            return None

    def get_config_map(self, name: str) -> Object:
        """Get a ConfigMap.

        Raises:
            RefusalError: it does not exist, or reading it is not allowed.
        """
        return self.send("GET", self.config_map_path(name))

    def config_map_path(self, name: str = "") -> str:
        """Return the API path of the ConfigMaps of the namespace, or of one of them."""
        path = f"/api/v1/namespaces/{urllib.parse.quote(self.namespace, safe='')}/configmaps"
        return f"{path}/{urllib.parse.quote(name, safe='')}" if name else path

    def is_allowed(self, verb: str, group: str, resource: str, subresource: str = "") -> bool:
        """Check whether the user has a permission in the namespace."""
        attributes = {"namespace": self.namespace, "verb": verb, "group": group, "resource": resource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, "subresource": subresource}},
        }
        answer = self.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(answer["status"]["allowed"])

    def user_name(self) -> str:
        """Return the name by which the API server knows the user; empty if it does not say."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self.send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
        except RefusalError:
            return ""
        return str(answer["status"]["userInfo"].get("username", ""))

    def is_user_allowed(
        self, user: str, groups: Sequence[str], verb: str, group: str, resource: str, *, namespace: str
    ) -> bool:
        """Check whether another user has a permission; needs the permission to create SubjectAccessReviews.

        Args:
            user: the name of the user.
            groups: the groups of the user.
            verb: the verb.
            group: the API group.
            resource: the resource, with its subresource: `flows/status`.
            namespace: where; empty: in all namespaces.
        """
        resource, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": list(groups), "resourceAttributes": attributes | {"namespace": namespace}},
        }
        answer = self.send("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review)
        return bool(answer["status"]["allowed"])

    def describe_namespace(self) -> str:
        """Return `in namespace NAME`, and that it does not exist if the API server says so."""
        where = f"in namespace {self.namespace}"
        try:
            self.send("GET", f"/api/v1/namespaces/{urllib.parse.quote(self.namespace, safe='')}")
        except RefusalError as error:
            # Many users may not read namespaces.
            return f"{where}, which does not exist" if error.status == NOT_FOUND else where
        return where

    def object_path(self, plural: str, name: str = "") -> str:
        """Return the API path of a resource in the namespace, or of one object."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{urllib.parse.quote(self.namespace, safe='')}/{plural}"
        return f"{path}/{urllib.parse.quote(name, safe='')}" if name else path

    @property
    def _pods_path(self) -> str:
        return f"/api/v1/namespaces/{urllib.parse.quote(self.namespace, safe='')}/pods"

    def _pods_of(self, run: str) -> WatchableList:
        return WatchableList(self.send, self.open, self._pods_path, {"labelSelector": f"{LABEL_RUN}={run}"})

    def _ours(self, plural: str, **selector: str) -> WatchableList:
        return WatchableList(self.send, self.open, self.object_path(plural), selector)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        *,
        read_timeout_s: float | None,
        headers: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> Any:
        # Uses the connections of the client, but not its `call_api`, which differs between versions, nor its classes
        # for the kinds of Kubernetes: making them takes more than a second of CPU time.
        given = self._api.configuration.auth_settings().values()
        return self._api.rest_client.pool_manager.request(
            method,
            f"{self.host}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else ""),
            headers={**headers, **self._api.default_headers, **{each["key"]: each["value"] for each in given}},
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
            **options,
        )

    def _translate_errors(self) -> contextlib.AbstractContextManager[None]:
        return translate_errors(self.host)


@contextlib.contextmanager
def _raise_logged_errors() -> Iterator[None]:
    """Raise an error that the client only logs: the credential plugin of a kubeconfig failed.

    Raises:
        CommandError: the plugin returned no credentials.
    """
    errors: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                errors.append(record.getMessage())

    collector = Collector()
    logging.getLogger().addHandler(collector)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(collector)
    if errors:
        raise CommandError(f"cannot get the credentials of the kubeconfig: {' '.join(errors[0].split())}")


def _is_in_pod() -> bool:
    has_kubeconfig = "KUBECONFIG" in os.environ or Path("~/.kube/config").expanduser().exists()
    return not has_kubeconfig and SERVICE_ACCOUNT_NAMESPACE.exists()


def _alternatives(name: str, names: list[str]) -> str:
    if not names:
        return ": there are none; use -n for another namespace"
    return suggest(name, names) or f"; existing: {enumerate_names(sorted(names))}"
