"""The harness of Prefect's users: their fixtures work, though no server is needed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.storage.home import VARIABLE

__all__ = ["prefect_test_harness"]


@contextmanager
def prefect_test_harness(server_startup_timeout: int | None = None, **_: Any) -> Iterator[None]:  # noqa: ARG001 - no server is started
    """Keep results, artifacts, variables and blocks of the block in a temporary folder, as Prefect's harness does.

    Args:
        server_startup_timeout: has no meaning, because no server is started.
    """
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="penstock-test-") as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


refuse_others(__name__)
