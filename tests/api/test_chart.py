"""The Helm chart: what it renders, what an API server says to it, and what installing and uninstalling it leaves."""

import base64
import datetime as dt
import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from kubernetes import client as kubernetes_client

from penstock_operator import options
from tests.cluster import binaries

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

CHART = Path(__file__).parents[2] / "helm" / "penstock"
DIGEST = "sha256:" + "0" * 64
OPERATOR_LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
LABELS = OPERATOR_LABELS | {
    "helm.sh/chart",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
}
# Kinds that other projects define: no API server of ours knows them.
FOREIGN_GROUPS = ("cert-manager.io/", "monitoring.coreos.com/")

VALUES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "for one namespace": {"watchNamespace": "NAMESPACE"},
    "for two namespaces": {"watchNamespaces": ["NAMESPACE", "default"]},
    "with everything that is off by default": {
        "commonLabels": {"team": "data"},
        "image": {"digest": DIGEST},
        "imagePullSecrets": [{"name": "registry"}],
        "operator": {"extraArgs": ["--log-level=debug"], "extraEnv": [{"name": "TZ", "value": "UTC"}]},
        "webhook": {"failurePolicy": "Fail", "certificates": "cert-manager"},
        "metrics": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "rules": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "runbooks": "https://example.com/runbooks/",
            },
            "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Penstock"}},
        },
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podLabels": {"stage": "test"},
        "podAnnotations": {"example.com/note": "yes"},
        "networkPolicy": {
            "egress": True,
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
            "eventsFrom": [{"namespaceSelector": {}}],
            "extraPorts": [15008],
        },
        "events": {
            "kinds": [
                {"apiVersion": "v1", "kind": "ConfigMap", "resource": "configmaps"},
                {"apiVersion": "batch/v1", "kind": "Job", "resource": "jobs"},
            ],
            "webhook": {"enabled": True},
        },
        "apiPriority": {"enabled": True},
        "logs": {"url": "https://logs.example.com/?q={namespace}/{run}&from={startMs}"},
    },
    "with everything off that can be off": {
        "rbac": {"create": False, "aggregateUserRoles": False},
        "serviceAccount": {"create": False},
        "webhook": {"enabled": False},
        "crds": {"enabled": False},
        "uninstall": {"releasePods": False},
        "metrics": {"scrapeAnnotations": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "admissionPolicy": {"enabled": False},
    },
}
each_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())

Run = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(kubeconfig) -> Run:
    """Runs helm or kubectl as the cluster's administrator."""

    def run(program: str, *arguments: str, text: str | None = None, check: bool = True):
        done = subprocess.run(
            [binaries.binary(program), f"--kubeconfig={kubeconfig}", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{program} {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture
def render(run, namespace) -> Render:
    """Renders the chart for a namespace of its own."""

    def render(**values: Any) -> list[dict[str, Any]]:
        piped = json.dumps(values).replace("NAMESPACE", namespace)
        done = run("helm", "template", "test", str(CHART), f"--namespace={namespace}", "--values=-", text=piped)
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return render


@pytest.fixture
def restricted(run: Run, namespace: str) -> str:
    """A namespace where the `restricted` Pod Security Standard is enforced, and each violation warned of."""
    run(
        "kubectl",
        "label",
        "namespace",
        namespace,
        *(f"pod-security.kubernetes.io/{m}=restricted" for m in ("enforce", "warn")),
    )
    return namespace


@pytest.fixture
def install(run, namespace):
    """Installs the chart without CRDs, which the cluster has, and without operators, whom its fake nodes can't run."""
    name = namespace.removeprefix("test-")
    fullname = f"chart-{name}"
    reduced: dict[str, Any] = {"fullnameOverride": fullname, "crds": {"enabled": False}, "replicas": 0}

    def install(**values: Any) -> str:
        piped = json.dumps(reduced | {"watchNamespace": namespace} | values)
        run("helm", "upgrade", "--install", name, str(CHART), f"--namespace={namespace}", "--values=-", text=piped)
        return fullname

    yield install
    run("helm", "uninstall", name, f"--namespace={namespace}", "--ignore-not-found")


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def pod_specs(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    templates = [
        document["spec"]["template"] for kind in ("Deployment", "Job") for document in of_kind(documents, kind)
    ]
    return [pod["spec"] for pod in [*templates, *of_kind(documents, "Pod")]]


@each_values
def test_helm_finds_nothing_to_say_of_it(run, namespace, values):
    piped = json.dumps(values).replace("NAMESPACE", namespace)
    done = run("helm", "lint", "--strict", str(CHART), "--values=-", text=piped)
    assert "WARNING" not in done.stdout


@each_values
def test_the_api_server_takes_every_object_without_a_warning(run, render, restricted, values):
    documents = [each for each in render(**values) if not each["apiVersion"].startswith(FOREIGN_GROUPS)]
    # A Pod is refused while its service account does not exist.
    for account in of_kind(documents, "ServiceAccount"):
        run("kubectl", "create", "-f", "-", text=json.dumps(account))
    done = run(
        "kubectl",
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        text=yaml.safe_dump_all(documents),
    )
    assert len(done.stdout.splitlines()) == len(documents)
    assert done.stderr == ""


@each_values
def test_every_object_has_every_label(render, values):
    documents = render(**values)
    lacking = {
        f"{document['kind']}/{document['metadata']['name']}": missing
        for document in documents
        if (missing := LABELS - document["metadata"]["labels"].keys())
    }
    assert lacking == {}


def test_labels_for_all_reach_every_object(render):
    documents = render(commonLabels={"team": "data"})
    assert [each for each in documents if each["metadata"]["labels"].get("team") != "data"] == []


@each_values
def test_every_container_is_confined_and_says_what_it_needs(render, values):
    for spec in pod_specs(render(**values)):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]


@each_values
def test_the_operator_understands_its_arguments(render, namespace, values, tmp_path):
    (deployment,) = of_kind(render(**values), "Deployment")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    (tmp_path / "token").touch()
    here = [argument.replace("/etc/penstock/webhook", str(tmp_path)) for argument in arguments]
    read = options.parse(here, {})
    assert bool(read.webhook_cert_dir) == values.get("webhook", {}).get("enabled", True)
    assert bool(read.webhook_token_file) == bool(read.webhook_cert_dir)
    assert read.webhook_references == (values.get("webhook", {}).get("failurePolicy") != "Fail")
    watched = values.get("watchNamespaces", []) + [values[key] for key in ("watchNamespace",) if key in values]
    assert read.namespaces == (tuple(sorted(each.replace("NAMESPACE", namespace) for each in watched)) or ("",))
    assert {str(kind) for kind in read.event_kinds} == (
        {"v1/ConfigMap", "batch/v1/Job"} if "events" in values else set()
    )
    assert read.event_port == (8082 if "events" in values else None)


def test_the_deployment_finds_its_own_pods_and_so_does_every_service(render):
    documents = render()
    (deployment,) = of_kind(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in of_kind(documents, "Service")]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in of_kind(documents, "PodDisruptionBudget")]
    assert len(selectors) == 4
    assert all(selector.items() <= labels.items() and selector.keys() == OPERATOR_LABELS for selector in selectors)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("replica", 3, id="a key at the top"),
        pytest.param("webhook.failurepolicy", "Fail", id="a key inside"),
        pytest.param("webhook.failurePolicy", "fail", id="a choice"),
        pytest.param("leaderElection.leaseDuration", "15 s", id="a duration"),
        pytest.param("tasks.runAsUser", 0, id="root"),
        pytest.param("image.digest", "latest", id="a digest"),
        pytest.param("webhook.token", "short", id="a token"),
        pytest.param(
            "events.kinds", [{"apiVersion": "v1", "kind": "Secret", "resource": "secrets"}], id="Secrets as events"
        ),
        pytest.param("events.webhook.secretNames", [], id="Secrets of every name"),
    ],
)
def test_a_slip_in_the_values_is_refused_by_its_name(run, path, value):
    done = run("helm", "template", str(CHART), f"--set-json={path}={json.dumps(value)}", check=False)
    assert done.returncode != 0
    assert path.split(".")[-1] in done.stderr


def test_users_may_read_where_the_log_store_is_and_nothing_else_if_there_is_one(render):
    def public(**values: Any) -> dict[str, dict[str, Any]]:
        return {one["kind"]: one for one in render(**values) if one["metadata"].get("namespace") == "kube-public"}

    assert public() == {}
    objects = public(logs={"url": "https://logs/?q={run}"})
    assert objects["ConfigMap"]["data"] == {"logUrl": "https://logs/?q={run}"}
    assert objects["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["penstock-cli"], "verbs": ["get"]}
    ]
    assert objects["RoleBinding"]["subjects"][0]["name"] == "system:authenticated"


def test_the_definitions_are_those_of_the_repository_and_outlive_the_release(render):
    rendered = {each["metadata"]["name"]: each for each in of_kind(render(), "CustomResourceDefinition")}
    stored = {
        crd["metadata"]["name"]: crd
        for path in (CHART.parents[1] / "crds").glob("*.yaml")
        if (crd := yaml.safe_load(path.read_text()))
    }
    assert {name: crd["spec"] for name, crd in rendered.items()} == {name: crd["spec"] for name, crd in stored.items()}
    assert {crd["metadata"]["annotations"]["helm.sh/resource-policy"] for crd in rendered.values()} == {"keep"}


def test_definitions_can_be_left_to_helm_or_out(render):
    for crd in of_kind(render(crds={"keep": False}), "CustomResourceDefinition"):
        assert "helm.sh/resource-policy" not in crd["metadata"].get("annotations", {})
    assert of_kind(render(crds={"enabled": False}), "CustomResourceDefinition") == []


def test_the_examples_for_the_catalogue_are_objects_that_the_api_server_takes(run, namespace):
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    examples = yaml.safe_load(annotations["artifacthub.io/crdsExamples"])
    described = yaml.safe_load(annotations["artifacthub.io/crds"])
    assert {each["kind"] for each in examples} == {each["kind"] for each in described}
    run(
        "kubectl",
        f"--namespace={namespace}",
        "create",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        text=yaml.safe_dump_all(examples),
    )


def test_an_operator_of_one_namespace_has_rights_in_no_other(render, namespace):
    documents = render(watchNamespace="elsewhere")
    assert of_kind(documents, "ClusterRoleBinding") == []
    bound_in = {each["metadata"]["name"]: each["metadata"]["namespace"] for each in of_kind(documents, "RoleBinding")}
    assert bound_in["test-penstock"] == "elsewhere"
    assert set(bound_in.values()) == {"elsewhere", namespace}
    for webhook in of_kind(documents, "ValidatingWebhookConfiguration")[0]["webhooks"]:
        assert webhook["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "elsewhere"}


def test_the_installed_operator_may_do_what_it_must_and_no_more(namespace, install, api):
    account = f"system:serviceaccount:{namespace}:{install()}"
    must = ["patch flowruns/status", "create flowruns", "create pods", "delete pods", "create configmaps"]
    must_not = ["update flows", "delete flows", "get secrets", "create pods/exec", "update leases", "get nodes"]
    assert [each for each in must if not may(api, account, each, namespace)] == []
    assert [each for each in must_not if may(api, account, each, namespace)] == []
    assert not may(api, account, "list pods", "default")


def test_flow_defaults_are_written_by_admins_and_read_by_all(render):
    roles = {role["metadata"]["name"]: role for role in of_kind(render(), "ClusterRole")}
    writers = {
        label.rpartition("/")[2]
        for role in roles.values()
        for rule in role.get("rules") or ()
        if "flowdefaults" in rule["resources"] and "update" in rule["verbs"]
        for label in role["metadata"]["labels"]
        if "aggregate-to" in label
    }
    assert writers == {"aggregate-to-admin"}
    view = next(role for name, role in roles.items() if name.endswith("-view"))
    assert "flowdefaults" in view["rules"][0]["resources"]


def test_the_defaults_of_the_installation_reach_the_operator_which_restarts_when_they_change(render):
    given = {"queueTimeout": "30m", "finally": [{"name": "notify", "image": "x", "args": ["$(run.state)"]}]}
    maps = of_kind(render(flowDefaults=given), "ConfigMap")
    (config_map,) = [one for one in maps if one["metadata"]["name"].endswith("-flow-defaults")]
    assert json.loads(config_map["data"]["spec.json"]) == given

    def template(**values: Any) -> Any:
        return of_kind(render(**values), "Deployment")[0]["spec"]["template"]

    args = template(flowDefaults=given)["spec"]["containers"][0]["args"]
    assert "--flow-defaults=/etc/penstock/flow-defaults/spec.json" in args
    annotation = "penstock.dev/flow-defaults"
    first, second = (
        template(flowDefaults=one)["metadata"]["annotations"][annotation] for one in (given, {"timeout": "1m"})
    )
    assert first != second
    assert annotation not in template()["metadata"]["annotations"]


def test_an_operator_of_several_namespaces_has_rights_in_each_of_them_and_in_no_other(render, namespace):
    documents = render(watchNamespaces=["team-b", "team-a"], watchNamespace="team-c")
    assert of_kind(documents, "ClusterRoleBinding") == []
    bound = {(each["metadata"]["name"], each["metadata"]["namespace"]) for each in of_kind(documents, "RoleBinding")}
    watched = {"team-a", "team-b", "team-c"}
    assert {place for name, place in bound if name == "test-penstock"} == watched
    assert {place for _, place in bound} == watched | {namespace}
    for webhook in of_kind(documents, "ValidatingWebhookConfiguration")[0]["webhooks"]:
        assert webhook["namespaceSelector"]["matchExpressions"][0]["values"] == sorted(watched)


def test_the_network_policy_opens_the_ports_that_the_operator_has_and_restricts_no_egress(render):
    (policy,) = of_kind(render(), "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [
        {"ports": [{"port": "http", "protocol": "TCP"}]},
        {"ports": [{"port": "webhook", "protocol": "TCP"}]},
    ]
    (deployment,) = of_kind(render(), "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


EVENTS = {
    "kinds": [{"apiVersion": "apps/v1", "kind": "Deployment", "resource": "deployments"}],
    "webhook": {"enabled": True, "secretNames": ["hooks"]},
}


def test_events_give_the_operator_the_rights_for_what_is_allowed_and_no_more(render):
    def rules(**values: Any) -> list[dict[str, Any]]:
        (role,) = [
            each for each in of_kind(render(**values), "ClusterRole") if each["metadata"]["name"] == "test-penstock"
        ]
        found: list[dict[str, Any]] = role["rules"]
        return found

    assert [rule for rule in rules(events=EVENTS) if rule not in rules()] == [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["hooks"], "verbs": ["get"]},
    ]


def test_webhooks_of_schedules_have_a_service_only_when_they_are_on(render):
    def services(**values: Any) -> set[str]:
        return {each["metadata"]["name"] for each in of_kind(render(**values), "Service")}

    assert services(events=EVENTS) - services() == {"test-penstock-events"}


def may(api, user: str, what: str, namespace: str) -> bool:
    verb, _, resource = what.partition(" ")
    resource, _, subresource = resource.partition("/")
    groups = {"flows": "penstock.dev", "flowruns": "penstock.dev", "leases": "coordination.k8s.io"}
    asked = {"verb": verb, "group": groups.get(resource, ""), "resource": resource, "subresource": subresource}
    review = {"spec": {"user": user, "resourceAttributes": asked | {"namespace": namespace}}}
    answer: Any = kubernetes_client.AuthorizationV1Api(api).create_subject_access_review(cast("Any", review))
    return bool(answer.status.allowed)


def test_the_webhook_certificate_is_good_for_the_service_and_survives_an_upgrade(run, namespace, install, core):
    name = install()
    first = core.read_namespaced_secret(f"{name}-webhook", namespace).data
    authority, certificate = (
        x509.load_pem_x509_certificate(base64.b64decode(first[key])) for key in ("ca.crt", "tls.crt")
    )
    verifier = PolicyBuilder().store(Store([authority])).time(dt.datetime.now(dt.UTC))
    verifier.build_server_verifier(x509.DNSName(f"{name}-webhook.{namespace}.svc")).verify(certificate, [])

    install(replicas=0, log={"level": "debug"})
    assert core.read_namespaced_secret(f"{name}-webhook", namespace).data == first
    assert authority_of_webhooks(run, f"{name}-{namespace}") == {first["ca.crt"]}


def test_an_upgrade_renews_a_webhook_certificate_that_nears_its_end(run, namespace, install, core):
    name = install()
    secret = f"{name}-webhook"
    first = core.read_namespaced_secret(secret, namespace)
    due = {"metadata": {"annotations": {"penstock.dev/renew-after": "1"}}}
    core.patch_namespaced_secret(secret, namespace, due)

    install()
    second = core.read_namespaced_secret(secret, namespace)
    assert second.data["tls.crt"] != first.data["tls.crt"]
    assert int(second.metadata.annotations["penstock.dev/renew-after"]) > 1
    assert authority_of_webhooks(run, f"{name}-{namespace}") == {second.data["ca.crt"]}


def token_of(documents: list[dict[str, Any]]) -> str:
    """Return the token in the Secret, which is also in the path of every webhook; one has a token derived from it."""
    (secret,) = [each for each in of_kind(documents, "Secret") if "token" in each["data"]]
    token = base64.b64decode(secret["data"]["token"]).decode()
    (configuration,) = of_kind(documents, "ValidatingWebhookConfiguration")
    *paths, approvals = [webhook["clientConfig"]["service"]["path"] for webhook in configuration["webhooks"]]
    assert [path.rpartition("/")[0] for path in paths] == [f"/validate/{token}"] * 5
    derived = hashlib.sha256(f"{token}-approvals".encode()).hexdigest()
    assert approvals == f"/validate/{derived}/approvals"
    return token


@pytest.mark.parametrize("certificates", ["chart", "cert-manager"])
def test_the_webhook_has_a_random_token_unless_one_is_given(render, certificates):
    tokens = {token_of(render(webhook={"certificates": certificates})) for _ in range(2)}
    assert len(tokens) == 2
    assert all(re.fullmatch("[a-z0-9]{40}", token) for token in tokens)
    assert token_of(render(webhook={"certificates": certificates, "token": "k" * 40})) == "k" * 40


def test_the_webhook_token_survives_an_upgrade(run, namespace, install):
    def documents() -> list[dict[str, Any]]:
        kinds = "secret,validatingwebhookconfiguration"
        release = f"app.kubernetes.io/instance={namespace.removeprefix('test-')}"
        done = run("kubectl", f"--namespace={namespace}", "get", kinds, "-l", release, "-o", "json")
        found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return found

    install()
    first = token_of(documents())
    install(log={"level": "debug"})
    assert token_of(documents()) == first
    install(webhook={"token": "k" * 40})
    assert token_of(documents()) == "k" * 40


def test_the_operator_finds_the_token_beside_its_certificate(render):
    (deployment,) = of_kind(documents := render(), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if "projected" in each]
    mounted = {
        item["path"]: source["secret"]["name"]
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    secrets = {each["metadata"]["name"]: each["data"] for each in of_kind(documents, "Secret")}
    assert {path: path in secrets[name] for path, name in mounted.items()} == dict.fromkeys(
        ("tls.crt", "tls.key", "token"), True
    )


def authority_of_webhooks(run: Run, name: str) -> set[str]:
    configuration = json.loads(run("kubectl", "get", "validatingwebhookconfiguration", name, "-o", "json").stdout)
    return {webhook["clientConfig"]["caBundle"] for webhook in configuration["webhooks"]}


@pytest.mark.parametrize("watched", ["all namespaces", "one namespace"])
def test_uninstalling_leaves_nothing_of_the_release(run, namespace, install, watched):
    install(watchNamespace=namespace if watched == "one namespace" else "")
    release = namespace.removeprefix("test-")
    done = run("helm", "uninstall", release, f"--namespace={namespace}")
    assert "uninstalled" in done.stdout
    kinds = (
        "deployment,job,service,serviceaccount,secret,poddisruptionbudget,role,rolebinding,"
        "clusterrole,clusterrolebinding,validatingwebhookconfiguration"
    )
    left = run("kubectl", "get", kinds, "-A", "-l", f"app.kubernetes.io/instance={release}", "-o", "name")
    assert left.stdout == ""


@pytest.mark.parametrize("watched", ["all namespaces", "one namespace"])
def test_a_failed_clean_up_leaves_no_rights_behind(run, namespace, install, watched):
    # Its Pod finds no node.
    name = install(watchNamespace=namespace if watched == "one namespace" else "", nodeSelector={"no-node": "has-this"})
    release = namespace.removeprefix("test-")
    done = run("helm", "uninstall", release, f"--namespace={namespace}", "--timeout=3s", check=False)
    assert done.returncode != 0
    kinds = "serviceaccount,role,rolebinding,clusterrole,clusterrolebinding"
    left = run("kubectl", "get", kinds, "-A", "-l", f"app.kubernetes.io/instance={release}", "-o", "name")
    assert left.stdout == ""
    # The Job that failed stays, because its log says why.
    run("kubectl", "delete", "job", f"{name}-uninstall", f"--namespace={namespace}")
