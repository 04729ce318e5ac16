"""The connection to the API server: its address and our credentials.

Where credentials come from and how they are refreshed is decided by the official `kubernetes` package, so that whatever
works with it (rotating service account tokens, client certificates, exec plugins) works here.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from kubernetes import config as kubernetes_config
from kubernetes.client import Configuration

from penstock.kube.errors import ConfigurationError

SERVICE_HOST_VARIABLE = "KUBERNETES_SERVICE_HOST"
KUBECONFIG_VARIABLE = "KUBECONFIG"


class Connection:
    """A server's address, TLS settings and headers, as they are now.

    Args:
        server: URL of the API server; may have a path.
        ssl_context: None for the default one (or for a plain `http` server).
        headers: sent with every request; holds the credentials.
        server_name: the name that the server's certificate is checked against; None: the URL's.
        proxy: URL of an HTTP proxy on the way to the server.
        configure: loads everything again, for credentials that expire.
    """

    def __init__(
        self,
        server: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        server_name: str | None = None,
        proxy: str | None = None,
        configure: Callable[[], Configuration] | None = None,
    ) -> None:
        self.server = server.rstrip("/")
        self.ssl_context = ssl_context
        self.headers = dict(headers or {})
        self.server_name = server_name
        self.proxy = proxy
        self._configure = configure
        self._configuration: Configuration | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Connection:
        """Find the API server as `kubectl` would: $KUBECONFIG, the Pod's service account, `~/.kube/config`.

        Raises:
            ConfigurationError: there is none of these, or it is invalid.
        """
        connection = cls("", configure=_source(environ))
        connection.reload()
        return connection

    def refresh(self) -> None:
        """Let the `kubernetes` package renew credentials that are about to expire; blocks, so call it in a thread."""
        if self._configuration is not None:
            self.headers = _headers(self._configuration)

    def reload(self) -> None:
        """Load address and credentials again; blocks, so call it in a thread.

        Raises:
            ConfigurationError: they cannot be loaded any more.
        """
        if self._configure is None:
            return
        try:
            configuration = self._configure()
            headers = _headers(configuration)
            ssl_context = _ssl_context(configuration)
        except (kubernetes_config.ConfigException, OSError, ValueError) as error:
            raise ConfigurationError(f"cannot load the API server's address or credentials: {error}") from error
        self._configuration = configuration
        self.server = str(configuration.host).rstrip("/")
        self.server_name = getattr(configuration, "tls_server_name", None)
        self.ssl_context = ssl_context
        self.proxy = _proxy(configuration)
        self.headers = headers


def _source(environ: Mapping[str, str]) -> Callable[[], Configuration]:
    default = os.path.expanduser("~/.kube/config")  # noqa: PTH111 - the package takes strings, several joined by colons
    kubeconfig = environ.get(KUBECONFIG_VARIABLE, "")
    if not kubeconfig and environ.get(SERVICE_HOST_VARIABLE):
        return _from_service_account
    if not kubeconfig and os.path.exists(default):  # noqa: PTH110 - as above
        kubeconfig = default
    if not kubeconfig:
        raise ConfigurationError(
            f"no API server is configured: run inside a Pod with a service account, or set ${KUBECONFIG_VARIABLE} "
            f"to a kubeconfig file ({default} does not exist)"
        )
    return lambda: _from_kubeconfig(kubeconfig)


def _from_service_account() -> Configuration:
    configuration = Configuration()
    kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the package has no types here
    return configuration


def _from_kubeconfig(path: str) -> Configuration:
    configuration = Configuration()
    kubernetes_config.load_kube_config(config_file=path, client_configuration=configuration)  # type: ignore[no-untyped-call] # as above
    return configuration


def _headers(configuration: Configuration) -> dict[str, str]:
    # auth_settings() is where the package calls its refresh hook, and the one place whose keys do not differ between
    # its versions.
    settings: Mapping[str, Any] = configuration.auth_settings()
    token = settings.get("BearerToken", {}).get("value")
    if not token:
        return {}
    scheme, _, value = str(token).partition(" ")
    return {"Authorization": f"Bearer {value.strip()}" if scheme.lower() == "bearer" else str(token).strip()}


def _ssl_context(configuration: Configuration) -> ssl.SSLContext | None:
    if not str(configuration.host).startswith("https"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    # Python 3.13 turned on RFC 5280 strictness, which certificates of many running clusters (no key usage
    # extension in their CA) do not meet; Go, whose clients everyone else uses, does not ask for it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file or None)
    return context


def _proxy(configuration: Configuration) -> str | None:
    proxy = configuration.proxy
    if not proxy or _is_direct(str(configuration.host), str(configuration.no_proxy or "")):
        return None
    return str(proxy)


def _is_direct(server: str, no_proxy: str) -> bool:
    """Return whether a server is reached without the proxy, by the rules of `NO_PROXY` that Go's clients follow."""
    host = urlsplit(server).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for rule in (part.strip().lower() for part in no_proxy.split(",")):
        if rule == "*":
            return True
        if address is not None:
            try:
                if address in ipaddress.ip_network(rule, strict=False):
                    return True
            except ValueError:
                continue
        elif rule and (host == rule.lstrip(".") or host.endswith("." + rule.lstrip("."))):
            return True
    return False
