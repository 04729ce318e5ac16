"""Thousands of random manifests against an operator on a cluster with fake nodes.

    make fuzz                                   5,000 manifests of seed 1
    make fuzz SEED=7 COUNT=500
    make fuzz ARGS="--replay fuzz-results/seed-7-123-flowrun.json"

Prints how many were refused and accepted, and what became of these. A manifest that ends the operator, gets no
documented end, or makes the operator log a traceback is stored in the folder of results, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from penstock.kube.connection import Connection
from tests import cluster
from tests.api.account import make_account
from tests.api.crds import apply_crds
from tests.fuzz.campaign import Campaign
from tests.fuzz.manifests import draw, read
from tests.fuzz.report import Report


def main() -> int:
    """Run a campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=100, help="manifests that are there at once")
    parser.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="apply these manifests instead")
    parser.add_argument("--output", type=Path, default=Path("fuzz-results"), help="folder for what was found")
    options = parser.parse_args()
    name = f"fuzz-{os.getpid()}"
    report = Report(options.output, options.seed)
    try:
        up = cluster.up(name, "fake")
        configuration = kubernetes_client.Configuration()
        kubernetes_config.load_kube_config(config_file=str(up.kubeconfig), client_configuration=configuration)
        with kubernetes_client.ApiClient(configuration) as api, tempfile.TemporaryDirectory() as folder:
            apply_crds(api)
            make_account(api, up.kubeconfig)
            connection = Connection.load({"KUBECONFIG": str(up.kubeconfig)})
            if options.replay:
                # Each twice: through the webhook and around it.
                manifests = iter([read(path, number) for path in options.replay for number in (0, 1)])
            else:
                manifests = draw(options.seed, options.count)
            with Campaign(api, connection, up.kubeconfig, Path(folder), report) as campaign:
                campaign.run(manifests, options.batch)
    finally:
        cluster.down(name)
        print(report.summary())
    return 1 if report.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
