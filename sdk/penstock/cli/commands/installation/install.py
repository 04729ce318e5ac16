"""`penstock install`: install or upgrade CRDs and operator with the Helm chart."""

from __future__ import annotations

import argparse
import json
from typing import Final

from penstock.api.duration import duration_s
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.chart import (
    NAMESPACE,
    RELEASE,
    InstalledCrds,
    Release,
    find_chart,
    find_crds,
    image_values,
)
from penstock.cli.cluster.helm import Helm
from penstock.cli.commands.installation.doctor import diagnose
from penstock.cli.text.echo import echo
from penstock.errors import CommandError, DurationError

KEPT_VALUES: Final = "--reset-then-reuse-values"
"""An upgrade keeps the values that were set, and uses the defaults of the new chart for the others."""
OWNED: Final = "invalid ownership metadata"
"""Part of Helm's error about objects that belong to another release."""
TIMED_OUT: Final = ("timed out", "deadline exceeded")
"""Parts of Helm's error when Pods did not become ready."""


def command(arguments: argparse.Namespace) -> int:
    """Install or upgrade Penstock, wait until it is ready, and run the checks of `doctor`."""
    options = read_options(arguments)
    helm = Helm.find(arguments.kubeconfig, arguments.context)
    # -n is the namespace of the operator; the checks of doctor use the namespace of the context.
    cluster = Cluster.connect(argparse.Namespace(**{**vars(arguments), "namespace": None}))
    cluster.send("GET", "/version")
    crds = find_crds(cluster)
    owner_exists = crds.owner is not None and helm.has(*crds.owner)
    release = choose_release(crds, arguments.release, arguments.namespace, owner_exists=owner_exists)
    if crds.exist and not owner_exists:
        options.append("--take-ownership")
    words = [
        "upgrade",
        release.name,
        arguments.chart or str(find_chart()),
        f"--namespace={release.namespace}",
        *options,
    ]
    if arguments.dry_run:
        output = helm.run(*words, "--dry-run=server", "--hide-secret", "--output=json")
        echo(json.loads(output)["manifest"].strip())
        return 0
    echo(f"Installing release {release}", is_error=True, flush=True)
    try:
        helm.run(*words, *([] if arguments.no_wait else ["--wait", f"--timeout={arguments.timeout}"]))
    except CommandError as error:
        if OWNED in str(error):
            raise CommandError(
                f"the CRDs belong to release {crds.owner}: to upgrade it, leave out -n and --release;"
                " for a second operator for one namespace, add --set crds.enabled=false,watchNamespace=NAMESPACE"
            ) from error
        if any(words in str(error) for words in TIMED_OUT):
            diagnose(cluster)  # says what is wrong with the Pods; Helm says only that it waited
        raise
    echo(f"release {release} installed", flush=True)
    return 0 if arguments.no_wait else diagnose(cluster)


def choose_release(crds: InstalledCrds, name: str | None, namespace: str | None, *, owner_exists: bool) -> Release:
    """Decide which release to install or upgrade.

    Args:
        crds: the CRDs in the cluster.
        name: name of the release, if given.
        namespace: its namespace, if given.
        owner_exists: whether the release that owns the CRDs exists.

    Returns:
        The release that owns the CRDs, unless another one was given.
    """
    owner = crds.owner
    if owner is not None and owner_exists and name in {None, owner.name} and namespace in {None, owner.namespace}:
        return owner
    return Release(name or RELEASE, namespace or NAMESPACE)


def read_options(arguments: argparse.Namespace) -> list[str]:
    """Return the options for `helm upgrade`.

    Args:
        arguments: the parsed arguments.

    Raises:
        CommandError: an option is invalid.
    """
    if arguments.version and not arguments.chart:
        raise CommandError("--version requires --chart: the chart of this penstock has one version")
    try:
        duration_s(arguments.timeout)
    except DurationError as error:
        raise CommandError(f"--timeout {arguments.timeout}: {error}") from error
    options = ["--install", "--create-namespace", "--reset-values" if arguments.reset_values else KEPT_VALUES]
    options += [f"--version={arguments.version}"] if arguments.version else []
    options += [f"--values={file}" for file in arguments.values]
    options += [f"--set-string={value}" for value in image_values(arguments.image)] if arguments.image else []
    return options + [f"--set={value}" for value in arguments.set]
