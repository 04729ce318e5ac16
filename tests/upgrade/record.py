"""Record what another version leaves in the middle of its work.

    .venv/bin/python -m tests.upgrade.record CHECKOUT VERSION

CHECKOUT is a folder with the other version, of which the CRDs and the operator are used, with the packages of this
version. Writes tests/upgrade/VERSION.jsonl.
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
from tests.api.crds import apply_crds
from tests.api.replica import Replica
from tests.api.scene import Scene
from tests.cluster.control_plane import api_server
from tests.cluster.plan import Plan
from tests.upgrade.journey import begin, reach_the_middle
from tests.upgrade.recording import FOLDER, record

NAMESPACE = "recorded"


def main() -> None:
    """Record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("version")
    options = parser.parse_args()
    checkout: Path = options.checkout.resolve()
    os.environ["PYTHONPATH"] = f"{checkout / 'sdk'}:{checkout / 'operator'}"
    name = f"record-{os.getpid()}"
    try:
        up = cluster.up(name, "fake")
        configuration = kubernetes_client.Configuration()
        kubernetes_config.load_kube_config(config_file=str(up.kubeconfig), client_configuration=configuration)
        with kubernetes_client.ApiClient(configuration) as api, tempfile.TemporaryDirectory() as folder:
            apply_crds(api, checkout / "crds")
            server = api_server(Plan.must_load(up.state_dir))
            server.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
            connection = Connection.load({"KUBECONFIG": str(up.kubeconfig)})
            with (
                Scene(api, connection, NAMESPACE) as scene,
                Replica(up.kubeconfig, Path(folder), namespace=NAMESPACE, lease=NAMESPACE) as operator,
            ):
                begin(scene)
                reach_the_middle(scene)
                operator.kill()
                count = record(server, NAMESPACE, FOLDER / f"{options.version}.jsonl")
        print(f"{count} objects")
    finally:
        cluster.down(name)


if __name__ == "__main__":
    main()
