"""`penstock backup`: write all objects of one or all namespaces to a file, from which they can be restored."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import gzip
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from penstock.api.names import (
    API_VERSION,
    LABEL_CACHE,
    LABEL_CODE,
    LABEL_FLOW_UID,
    LABEL_MANAGED_BY,
    MANAGED_BY,
)
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import NOT_FOUND
from penstock.cli.cluster.kinds import RESOURCES
from penstock.cli.manifests.backup import KINDS, Object, clean_object, write_backup
from penstock.cli.text.echo import echo
from penstock.errors import CommandError, RefusalError

STDOUT: Final = "-"
OURS: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
REVISIONS: Final = f"{OURS},{LABEL_FLOW_UID}"
CODE: Final = LABEL_CODE
CACHE: Final = f"{OURS},{LABEL_CACHE}=outputs"


def command(arguments: argparse.Namespace) -> int:
    """Write a backup."""
    if arguments.output == STDOUT and sys.stdout.isatty():
        raise CommandError("a backup is not written to a terminal: use -o FILE, or redirect it with > FILE")
    cluster = Cluster.connect(arguments)
    objects = _read_objects(cluster, is_all=arguments.all_namespaces, has_cache=arguments.cache)
    time = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    count = 0
    with _open(arguments.output) as write:
        for line in write_backup(objects, time=time):
            write(line)
            count += 1
    where = "all namespaces" if arguments.all_namespaces else f"namespace {cluster.namespace}"
    echo(f"{count - 2} objects of {where} written", is_error=True)
    return 0


def _read_objects(cluster: Cluster, *, is_all: bool, has_cache: bool) -> Iterator[Object]:
    plurals = {resource.kind: resource.plural for resource in RESOURCES}
    for kind in KINDS[:-1]:
        path = f"/apis/{API_VERSION}/{plurals[kind]}" if is_all else cluster.object_path(plurals[kind])
        yield from _read_kind(cluster, kind, path, "")
    # After the runs: each run's revision existed before the run named it.
    path = "/api/v1/configmaps" if is_all else cluster.config_map_path()
    for selector in (REVISIONS, CODE, *([CACHE] if has_cache else ())):
        yield from _read_kind(cluster, KINDS[-1], path, selector)


def _read_kind(cluster: Cluster, kind: str, path: str, selector: str) -> Iterator[Object]:
    try:
        for page in cluster.list_pages(path, {"labelSelector": selector} if selector else {}):
            for body in page["items"]:
                if not body["metadata"].get("deletionTimestamp"):
                    yield clean_object(body, kind)
    except RefusalError as error:
        if error.status != NOT_FOUND:
            raise
        raise CommandError("Penstock is not installed in this cluster: run penstock doctor") from error


@contextlib.contextmanager
def _open(name: str) -> Iterator[Callable[[str], object]]:
    """Open the output; a file appears under its name when it is complete, for its owner alone: params may be secret."""
    if name == STDOUT:
        yield lambda line: echo(line, end="")
        return
    path, partial = Path(name), Path(f"{name}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            packed = gzip.GzipFile(fileobj=raw, mode="wb") if path.suffix == ".gz" else contextlib.nullcontext(raw)
            with packed as file:
                yield lambda line: file.write(line.encode())
        partial.replace(path)
    except OSError as error:
        raise CommandError(f"cannot write {name}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
