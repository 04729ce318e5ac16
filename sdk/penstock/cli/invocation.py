"""How this program was called, for hints that can be copied and run."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Final

PLUGIN_PREFIX: Final = "kubectl-"
"""How kubectl finds its plugins on PATH (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/)."""
FLAGS: Final = (("namespace", "-n"), ("context", "--context"), ("kubeconfig", "--kubeconfig"))


def program() -> str:
    """Return the name this program was called by: `penstock`, or `kubectl penstock`."""
    return "kubectl penstock" if Path(sys.argv[0]).name.startswith(PLUGIN_PREFIX) else "penstock"


def cluster_flags(arguments: argparse.Namespace) -> str:
    """Return the given options that select the cluster and the namespace, each preceded by a space."""
    typed = ((flag, getattr(arguments, name, None)) for name, flag in FLAGS)
    return "".join(f" {flag} {shlex.quote(value)}" for flag, value in typed if value)
