"""A call that a Pod carries out, as the compiler writes it and the runner reads it.

`PENSTOCK_CALL` holds what is known when a flow is compiled, `PENSTOCK_VALUES`, `PENSTOCK_VALUES_1` and so on lists of
what the engine fills in when the task starts: one list, whose places are called slots.

An argument is a template: plain JSON, in which an object with the key `@` stands for something else.

==========  ===========================================================================================
`value`     what is in a slot, as it is; `type` or `elements` name the plain type that it must have
`param`     a param in a slot, converted to what the flow's annotation of `name` says
`result`    the result of a task, whose outputs are in a slot
`outcome`   the same, or why the task did not complete: its state is in another slot
`results`   the list of the results of a mapped task
`item`      the result of the item of a mapped task that has the same index
`element`   the element at the index of this item, of another template
`pick`      the template at the index of this item, of a list of them
`tuple`     a tuple of templates
`pairs`     a dictionary whose keys are no plain names
`pickle`    a value that JSON does not know
==========  ===========================================================================================

Only what a task's own outputs say is ever unpickled or fetched, never what a run was given as params: who may create
runs may not thereby run code.
"""

from __future__ import annotations

from typing import Final

CALL: Final = "PENSTOCK_CALL"
VALUES: Final = "PENSTOCK_VALUES"
STORAGE: Final = "PENSTOCK_STORAGE"
"""Where results go that are too big for outputs: a folder, or a URL."""
SOURCE: Final = "PENSTOCK_SOURCE"
"""Where code is fetched from: a Git source at a commit, or the URL of a zip that is called by its SHA-256."""
ATTEMPT: Final = "PENSTOCK_ATTEMPT"
FAILURES: Final = "PENSTOCK_FAILURES"
"""Failures of the task's own before this attempt."""
MARK: Final = "@"
"""No dollar: the engine and the kubelet read those in environment variables."""

EXIT_FAILED: Final = 1
"""The function raised."""
EXIT_NOT_AGAIN: Final = 78
"""It would not help to try again: retry_condition_fn said so, the function left by SystemExit, its result can't be
kept, or the code is not there. EX_CONFIG of sysexits.h."""
