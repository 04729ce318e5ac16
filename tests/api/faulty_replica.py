"""A replica of the operator with bugs: see `faulty_operator`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.api.replica import Replica
from tests.api.scene import Scene

FAULTY = Path(__file__).with_name("faulty_operator.py")


class FaultyReplica(Replica):
    """A replica with bugs, as long as a file exists."""

    def __init__(
        self, kubeconfig: Path, folder: Path, *, bugs: Path, scene: Scene, options: tuple[str, ...] = ()
    ) -> None:
        super().__init__(kubeconfig, folder, namespace=scene.namespace, lease=scene.namespace, identity="same")
        self._command[1:3] = [str(FAULTY)]
        self._command += options
        self._environment["PENSTOCK_TEST_BUGS"] = str(bugs)
        self._environment["PYTHONPATH"] = os.pathsep.join(sys.path)
