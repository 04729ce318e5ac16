"""The digest of code that is mounted into a Pod: written when a flow is deployed, compared before the code is imported.

Whoever may create ConfigMaps can replace the one that has the code. The digest is in the environment of the task, which
its Flow's revision holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest_of(files: Iterable[tuple[str, bytes]]) -> str:
    """Return the SHA-256 of files, in hexadecimal digits.

    Args:
        files: path of each, relative to the folder that modules are imported from, with slashes; and its content.
    """
    digest = hashlib.sha256()
    for place, content in sorted(files):
        digest.update(f"{place}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
