"""The call of a task in its Pod: the environment variables that the compiler writes and the runner reads.

`PENSTOCK_CALL` has what is known when a flow is compiled. `PENSTOCK_VALUES`, `PENSTOCK_VALUES_1` and so on have the
values of expressions, which the engine evaluates when the task starts. Together they are one list; its positions are
called slots.

An argument is a template: plain JSON, in which an object with the key `@` stands for something else.

==========  ===========================================================================================
`value`     the value of a slot; `type` or `elements` name the plain type that it must have
`param`     a param in a slot, converted to the type of the flow's parameter `name`
`result`    the result of a task, whose outputs are in a slot
`outcome`   the same, or the exception of a task that did not complete: its state is in another slot
`results`   the list of the results of a mapped task
`item`      the result of the item of a mapped task that has the same index
`element`   the element at the index of this item, of another template
`pick`      the template at the index of this item, of a list of them
`operation` the result of an operation of `pod_operations` on other templates
`tuple`     a tuple of templates
`pairs`     a dictionary whose keys are not all strings
`pickle`    a value that is not JSON
==========  ===========================================================================================

Only outputs of tasks are unpickled or fetched, never the params of a run: permission to create runs must not allow
running arbitrary code.
"""

from __future__ import annotations

from typing import Final

CALL: Final = "PENSTOCK_CALL"
VALUES: Final = "PENSTOCK_VALUES"
STORAGE: Final = "PENSTOCK_STORAGE"
"""Where results are stored that are too big for outputs: a folder or a URL."""
SOURCE: Final = "PENSTOCK_SOURCE"
"""Where code is fetched from: a Git source at a commit, or the URL of a zip file that is named by its SHA-256."""
CODE_DIGEST: Final = "PENSTOCK_CODE_SHA256"
"""Digest of the code in the folder that PENSTOCK_CODE names, which is mounted from a ConfigMap."""
ATTEMPT: Final = "PENSTOCK_ATTEMPT"
FAILURES: Final = "PENSTOCK_FAILURES"
"""Number of failed attempts before this one, without infrastructure failures."""
MARK: Final = "@"
"""Not a dollar sign: the engine and the kubelet expand those in environment variables."""

EXIT_FAILED: Final = 1
"""The function raised."""
EXIT_NOT_AGAIN: Final = 78
"""A retry would not help: retry_condition_fn returned false, the function raised SystemExit, its result cannot be
stored, or its code was not found. EX_CONFIG of sysexits.h."""
