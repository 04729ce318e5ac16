"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler, as processes of this machine."""

import secrets
from pathlib import Path

from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import path_of
from tests.cluster.certificates import Authority, create_key
from tests.cluster.component import Component, start, wait_ready
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.plan import LOOPBACK, Plan
from tests.cluster.process import Processes

# Users of the token file beside the administrator, with the names that Kubernetes' own roles are bound to.
SYSTEM_USERS = {
    "controller-manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
    "proxy": "system:kube-proxy",
}
ETCD_QUOTA_BYTES = 8 * 1024**3
# A node that says nothing for so long counts as gone; Kubernetes' own 50 s would be most of a test's time. The kubelet
# renews its lease in a quarter of node.LEASE_S.
NODE_GRACE_S = 20
SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIT_POLICY = Path(__file__).parent / "audit-policy.yaml"
AUDIT_LOG = "audit.log"
"""In the state folder of a cluster with fake nodes: what service accounts asked for."""


def node_name(plan: Plan) -> str:
    """Of the one real node."""
    return f"{plan.name}-node"


def api_server(plan: Plan) -> ApiServer:
    """The API server with the administrator's rights."""
    return ApiServer(url=plan.server, ca=plan.certificates / "ca.crt", token=plan.token)


def kubeconfig_of(plan: Plan, user: str) -> Path:
    """The kubeconfig of a component."""
    return plan.certificates / f"{user}.kubeconfig"


def prepare(plan: Plan) -> None:
    """Write new certificates, tokens and kubeconfigs."""
    authority = Authority.create(plan.certificates)
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    addresses = {LOOPBACK, plan.host, plan.service_address}
    alternative_names = [f"DNS:{name}" for name in names] + [f"IP:{address}" for address in sorted(addresses)]
    authority.sign("apiserver", subject="/CN=kube-apiserver", alternative_names=alternative_names)
    authority.sign("kubelet-client", subject="/O=system:masters/CN=kube-apiserver-kubelet-client")
    create_key(plan.certificates / "service-account.key")

    users = dict(SYSTEM_USERS)
    groups = {}
    if plan.kind == "bare":
        users["kubelet"] = f"system:node:{node_name(plan)}"
        groups["kubelet"] = "system:nodes"
    else:
        # kwok changes nodes and Pods as no kubelet may.
        users["kwok"] = "kwok"
        groups["kwok"] = "system:masters"
    rows = [f'{plan.token},admin,admin,"system:masters"']
    for user, full_name in users.items():
        token = secrets.token_hex(16)
        rows.append(f'{token},{full_name},{full_name},"{groups.get(user, "")}"')
        _write_kubeconfig(plan, kubeconfig_of(plan, user), token=token, user=user)
    tokens = plan.certificates / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text("\n".join(rows) + "\n")
    _write_kubeconfig(plan, plan.kubeconfig, token=plan.token, user="admin")


def _write_kubeconfig(plan: Plan, path: Path, *, token: str, user: str) -> None:
    ca = plan.certificates / "ca.crt"
    write_kubeconfig(path, server=plan.server, ca=ca, token=token, cluster=plan.name, user=user)


def components(plan: Plan) -> list[Component]:
    """The four of them, in the order of their start."""
    return [_etcd(plan), _apiserver(plan), _controller_manager(plan), _scheduler(plan)]


def start_control_plane(plan: Plan, processes: Processes) -> None:
    """Start all, and return when the API server is ready; the other two get ready while the caller continues."""
    etcd, apiserver, *others = components(plan)
    start(etcd, processes)
    wait_ready([etcd], processes)
    start(apiserver, processes)
    wait_ready([apiserver], processes)
    for component in others:
        start(component, processes)


def _etcd(plan: Plan) -> Component:
    client = f"http://{LOOPBACK}:{plan.ports['etcd']}"
    peer = f"http://{LOOPBACK}:{plan.ports['etcd-peer']}"
    command: list[str | Path] = [
        path_of("etcd"),
        "--name=etcd",
        f"--data-dir={plan.state_dir / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=etcd={peer}",
        # A test cluster is thrown away after a crash, so it need not wait for the disk.
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={ETCD_QUOTA_BYTES}",
        "--log-level=warn",
    ]
    return Component.with_health_url("etcd", command, f"{client}/health")


def _apiserver(plan: Plan) -> Component:
    folder = plan.certificates
    command: list[str | Path] = [
        path_of("kube-apiserver"),
        f"--etcd-servers=http://{LOOPBACK}:{plan.ports['etcd']}",
        f"--bind-address={plan.host}",
        f"--advertise-address={plan.host}",
        f"--secure-port={plan.ports['apiserver']}",
        f"--tls-cert-file={folder / 'apiserver.crt'}",
        f"--tls-private-key-file={folder / 'apiserver.key'}",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-account-issuer={SERVICE_ACCOUNT_ISSUER}",
        f"--service-account-key-file={folder / 'service-account.key'}",
        f"--service-account-signing-key-file={folder / 'service-account.key'}",
        f"--service-cluster-ip-range={plan.service_cidr}",
        f"--kubelet-client-certificate={folder / 'kubelet-client.crt'}",
        f"--kubelet-client-key={folder / 'kubelet-client.key'}",
        # The node's host name resolves nowhere: without this, logs and exec can't find it.
        "--kubelet-preferred-address-types=InternalIP",
    ]
    if plan.kind == "fake":
        command += [
            # A Service can't have a loopback address behind it.
            "--endpoint-reconciler-type=none",
            # It taints a new node until the node-lifecycle controller, which is off here, takes the taint away.
            "--disable-admission-plugins=TaintNodesByCondition",
            f"--audit-policy-file={AUDIT_POLICY}",
            f"--audit-log-path={plan.state_dir / AUDIT_LOG}",
        ]
    return Component(name="apiserver", command=command, is_ready=lambda: api_server(plan).is_ready())


def _controller_manager(plan: Plan) -> Component:
    folder = plan.certificates
    command: list[str | Path] = [
        path_of("kube-controller-manager"),
        *_client_flags(plan, "controller-manager"),
        f"--root-ca-file={folder / 'ca.crt'}",
        f"--service-account-private-key-file={folder / 'service-account.key'}",
        f"--cluster-signing-cert-file={folder / 'ca.crt'}",
        f"--cluster-signing-key-file={folder / 'ca.key'}",
        "--use-service-account-credentials=true",
    ]
    if plan.kind == "fake":
        # Nobody renews what this controller looks at, so it would evict the Pods of fake nodes.
        command.append("--controllers=*,-node-lifecycle-controller,-taint-eviction-controller")
    else:
        command += [f"--node-monitor-grace-period={NODE_GRACE_S}s", "--node-monitor-period=1s"]
    return _with_port("controller-manager", command, plan)


def _scheduler(plan: Plan) -> Component:
    command: list[str | Path] = [path_of("kube-scheduler"), *_client_flags(plan, "scheduler")]
    return _with_port("scheduler", command, plan)


def _client_flags(plan: Plan, user: str) -> list[str]:
    kubeconfig = kubeconfig_of(plan, user)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={plan.ports[user]}",
    ]


def _with_port(name: str, command: list[str | Path], plan: Plan) -> Component:
    return Component.with_health_url(name, command, f"https://{LOOPBACK}:{plan.ports[name]}/healthz")
