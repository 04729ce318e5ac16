"""Paths and UUIDs."""

from pathlib import Path
from uuid import UUID
from prefect import flow


@flow
def main(p: Path, u: UUID):
    return p.name, u.version


print(main("/a/b.csv", "7c9e6679-7425-40de-944b-e07fc1f90ae7"))
