"""The licences of the Python packages that are installed here, counted. Written for Prefect; see docs/from-prefect.md.

python examples/ported/licences.py
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from importlib import metadata

from penstock import flow, task, unmapped
from penstock.artifacts import create_table_artifact
from penstock.cache_policies import INPUTS


@task(retries=2, retry_delay_seconds=[1, 5])
def list_packages() -> list[str]:
    """Return the names of all packages."""
    return sorted({each.metadata["Name"] for each in metadata.distributions()})


@task(cache_policy=INPUTS, cache_expiration=dt.timedelta(hours=1), task_run_name="licence-of-{package}")
def read_licence(package: str, unknown: str) -> str:
    """Return what a package says of its licence, in one way or another."""
    facts = metadata.metadata(package)
    classifiers = [each.rpartition(" :: ")[2] for each in facts.get_all("Classifier", []) if "License ::" in each]
    return facts.get("License-Expression") or next(iter(classifiers), None) or unknown


@flow(log_prints=True)
def licences(unknown: str = "says nothing") -> dict[str, int]:
    """Count the licences, and show them as a table."""
    packages = list_packages()
    found = read_licence.map(packages, unmapped(unknown)).result()
    counts = dict(Counter(found).most_common())
    create_table_artifact([{"licence": name, "packages": count} for name, count in counts.items()], key="licences")
    print(f"{len(packages)} packages have {len(counts)} licences")
    return counts


if __name__ == "__main__":
    licences()
