"""Finds the installation's log store, for links to logs of Pods that are gone.

The chart writes its value `logs.url` to a ConfigMap in `kube-public`, which every user may read there, as with
kubeadm's `cluster-info`: the command line need not know where the operator is installed, and no status grows.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import Final

from penstock.cli.cluster.access import Cluster
from penstock.cli.text.log_link import format_log_link
from penstock.cli.text.log_source import Choice
from penstock.drawing.task_rows import Object
from penstock.errors import RefusalError

VARIABLE: Final = "PENSTOCK_LOG_URL"
"""Overrides the template of the installation."""
PATH: Final = "/api/v1/namespaces/kube-public/configmaps/penstock-cli"
KEY: Final = "logUrl"


def find_log_link(cluster: Cluster, run: Object, choice: Choice) -> str:
    """Return the link to logs in the installation's log store; empty if it has none.

    Args:
        cluster: the cluster.
        run: the FlowRun.
        choice: which task and item of it.

    Raises:
        CommandError: the template is invalid.
    """
    template = log_template(cluster)
    return format_log_link(template, run, choice, dt.datetime.now(dt.UTC)) if template else ""


def log_template(cluster: Cluster) -> str:
    """Return the URL template of the log store; empty if there is none."""
    if template := os.environ.get(VARIABLE):
        return template
    try:
        return str((cluster.send("GET", PATH).get("data") or {}).get(KEY) or "")
    except RefusalError:
        # A link is a convenience: without the right to read it there is none.
        return ""
