"""Minutes of flows with known ends on a cluster with fake nodes, while everything around them breaks.

    make chaos                                  two minutes of seed 1
    make chaos SEED=7 MINUTES=30

Prints how often what was broken, and every rule that was. A seed decides about cases and faults; the moments at which
they meet differ, so a seed that failed may have to be run again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from tests import cluster
from tests.chaos.world import World


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument(
        "--output", type=Path, default=Path("chaos-results"), help="folder for logs of a seed that fails"
    )
    options = parser.parse_args()
    name = f"chaos-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            up = cluster.up(name, "fake")
            verdict = World(up, Path(folder), seed=options.seed).run(options.minutes)
        finally:
            cluster.down(name)
        if verdict.violations:
            kept = options.output / f"seed-{options.seed}"
            shutil.copytree(folder, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.kubeconfig"))
            print(f"the operators' logs are in {kept}")
    print(f"seed {options.seed}\n{verdict}")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
