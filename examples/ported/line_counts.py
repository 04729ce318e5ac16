"""The lines of all Python files below a folder, counted side by side. Written for Prefect; see docs/from-prefect.md.

python examples/ported/line_counts.py sdk
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from penstock import flow, get_run_logger, task
from penstock.futures import as_completed
from penstock.task_runners import ThreadPoolTaskRunner


@task(tags=["disk"], timeout_seconds=30, retries=1)
async def count_lines(path: Path) -> int:
    """Count the lines of a file."""
    text = await asyncio.to_thread(path.read_bytes)
    return text.count(b"\n")


def find(folder: Path) -> list[Path]:
    """Return all Python files below a folder."""
    return sorted(folder.rglob("*.py"))


@flow(name="line-counts", task_runner=ThreadPoolTaskRunner(max_workers=16), timeout_seconds=300)
async def count_all(folder: Path) -> int:
    """Count the lines of all files, as they come in."""
    logger = get_run_logger()
    futures = [count_lines.submit(path) for path in find(folder)]
    total = 0
    for number, future in enumerate(as_completed(futures), start=1):
        total += future.result()
        if number % 100 == 0:
            logger.info("%d of %d files, %d lines", number, len(futures), total)
    logger.info("%d files have %d lines", len(futures), total)
    return total


if __name__ == "__main__":
    asyncio.run(count_all(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
