"""`penstock install`: the definitions and the operator, through the chart."""

from __future__ import annotations

import argparse
import json
import sys
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
from penstock.cli.commands.doctor import diagnose
from penstock.errors import CommandError, DurationError

KEPT_VALUES: Final = "--reset-then-reuse-values"
"""An upgrade keeps what was set before, and takes the defaults of the new chart for the rest."""
OWNED: Final = "invalid ownership metadata"
"""What Helm says of objects that belong to another release."""
TIMED_OUT: Final = ("timed out", "deadline exceeded")
"""What it says when Pods did not become ready."""


def command(arguments: argparse.Namespace) -> int:
    """Install or upgrade Penstock, wait until it works, and look at everything as `doctor` does."""
    options = read_options(arguments)
    helm = Helm.find(arguments.kubeconfig, arguments.context)
    # -n is the operator's namespace here; what doctor looks at is that of the context.
    cluster = Cluster.connect(argparse.Namespace(**{**vars(arguments), "namespace": None}))
    cluster.send("GET", "/version")
    definitions = find_crds(cluster)
    owner_is_there = definitions.owner is not None and helm.has(*definitions.owner)
    release = choose_release(definitions, arguments.release, arguments.namespace, owner_is_there=owner_is_there)
    if definitions.exist and not owner_is_there:
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
        print(json.loads(output)["manifest"].strip())
        return 0
    print(f"Installs release {release}", file=sys.stderr, flush=True)
    try:
        helm.run(*words, *([] if arguments.no_wait else ["--wait", f"--timeout={arguments.timeout}"]))
    except CommandError as error:
        if OWNED in str(error):
            raise CommandError(
                f"the definitions belong to release {definitions.owner}: leave out -n and --release to upgrade it; for"
                " a second operator, of one namespace, add --set crds.enabled=false,watchNamespace=NAMESPACE"
            ) from error
        if any(words in str(error) for words in TIMED_OUT):
            diagnose(cluster)  # says what is wrong with the Pods, where Helm says that it waited
        raise
    print(f"release {release} installed", flush=True)
    return 0 if arguments.no_wait else diagnose(cluster)


def choose_release(
    definitions: InstalledCrds, name: str | None, namespace: str | None, *, owner_is_there: bool
) -> Release:
    """Decide which release to install or upgrade.

    Args:
        definitions: what is in the cluster.
        name: name of the release, if typed.
        namespace: its namespace, if typed.
        owner_is_there: whether the release that has the definitions is there.

    Returns:
        The one that has the definitions already, unless something else was typed.
    """
    owner = definitions.owner
    if owner is not None and owner_is_there and name in {None, owner.name} and namespace in {None, owner.namespace}:
        return owner
    return Release(name or RELEASE, namespace or NAMESPACE)


def read_options(arguments: argparse.Namespace) -> list[str]:
    """Read what is handed on to Helm.

    Args:
        arguments: as they were typed.

    Raises:
        CommandError: they make no sense.
    """
    if arguments.version and not arguments.chart:
        raise CommandError("--version is that of a --chart from a repository; penstock brings a chart of its own")
    try:
        duration_s(arguments.timeout)
    except DurationError as error:
        raise CommandError(f"--timeout {arguments.timeout}: {error}") from error
    options = ["--install", "--create-namespace", "--reset-values" if arguments.reset_values else KEPT_VALUES]
    options += [f"--version={arguments.version}"] if arguments.version else []
    options += [f"--values={file}" for file in arguments.values]
    options += [f"--set-string={value}" for value in image_values(arguments.image)] if arguments.image else []
    return options + [f"--set={value}" for value in arguments.set]
