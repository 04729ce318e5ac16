from __future__ import annotations

import os

import pytest
import yaml

from penstock.kube.connection import Connection
from penstock.kube.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_home(monkeypatch, tmp_path):
    """No kubeconfig of the person's, and no proxy of the machine's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def kubeconfig(path, server="https://203.0.113.5:6443/k8s/clusters/one", user=None, **cluster):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "clusters": [{"name": "it", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "me", "user": user or {}}],
    }
    path.write_text(yaml.safe_dump(config))
    return {"KUBECONFIG": str(path)}


def test_without_a_cluster_and_without_a_kubeconfig_the_error_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no API server is configured: run inside a Pod .* set \$KUBECONFIG"):
        Connection.load({})


def test_a_missing_kubeconfig_is_reported(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot load the API server's address or credentials"):
        Connection.load({"KUBECONFIG": str(tmp_path / "nowhere")})


def test_a_pod_without_a_token_is_reported(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ConfigurationError, match="token file does not exist"):
        Connection.load(os.environ)


def test_server_token_and_names_come_from_the_kubeconfig(tmp_path):
    environ = kubeconfig(tmp_path / "config", user={"token": "secret"}, **{"tls-server-name": "kubernetes"})
    connection = Connection.load(environ)
    assert connection.server == "https://203.0.113.5:6443/k8s/clusters/one"
    assert connection.headers == {"Authorization": "Bearer secret"}
    assert connection.server_name == "kubernetes"
    assert connection.ssl_context is not None
    assert connection.ssl_context.check_hostname


def test_verification_is_off_only_where_the_kubeconfig_says_so(tmp_path):
    connection = Connection.load(kubeconfig(tmp_path / "config", **{"insecure-skip-tls-verify": True}))
    assert connection.ssl_context is not None
    assert not connection.ssl_context.check_hostname


def test_a_token_that_changed_is_there_after_a_reload(tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")
    connection = Connection.load(kubeconfig(tmp_path / "config", user={"tokenFile": str(token)}))
    assert connection.headers == {"Authorization": "Bearer old"}
    token.write_text("new")
    connection.reload()
    assert connection.headers == {"Authorization": "Bearer new"}


def test_an_exec_plugin_is_asked_again_when_its_credential_has_run_out(tmp_path):
    token, plugin = tmp_path / "token", tmp_path / "plugin"
    token.write_text("first")
    plugin.write_text(
        "#!/bin/sh\n"
        'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":'
        f'{{"token":"%s","expirationTimestamp":"2020-01-01T00:00:00Z"}}}}\' "$(cat {token})"\n'
    )
    plugin.chmod(0o700)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    connection = Connection.load(kubeconfig(tmp_path / "config", user=user))
    assert connection.headers == {"Authorization": "Bearer first"}
    token.write_text("second")
    connection.refresh()
    assert connection.headers == {"Authorization": "Bearer second"}


def test_the_proxy_of_the_kubeconfig_is_used(tmp_path):
    environ = kubeconfig(tmp_path / "config", **{"proxy-url": "http://proxy.example:3128"})
    assert Connection.load(environ).proxy == "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("server", "no_proxy", "want"),
    [
        pytest.param("https://api.example:6443", "", "http://proxy.example:3128", id="nothing is excepted"),
        pytest.param("https://api.example:6443", ".example", None, id="by domain"),
        pytest.param("https://notexample:6443", "example", "http://proxy.example:3128", id="not by the end of a word"),
        pytest.param("https://10.96.0.1", "10.0.0.0/8,other", None, id="by network"),
        pytest.param("https://10.96.0.1", "192.168.0.0/16", "http://proxy.example:3128", id="another network"),
        pytest.param("https://api.example:6443", "*", None, id="everything is excepted"),
        pytest.param("https://127.0.0.1:6443", "", None, id="the machine itself"),
        pytest.param("https://localhost:6443", "", None, id="the machine itself by name"),
    ],
)
def test_the_proxy_of_the_environment_is_used_unless_excepted(monkeypatch, tmp_path, server, no_proxy, want):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert Connection.load(kubeconfig(tmp_path / "config", server=server)).proxy == want
