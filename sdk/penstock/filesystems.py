"""Folders for results: `result_storage=LocalFileSystem(basepath="results")`."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.local.blocks.local_file_system import LocalFileSystem

__all__ = ["LocalFileSystem"]

refuse_others(__name__)
