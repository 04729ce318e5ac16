"""Inputs of people: classes for `pause_flow_run(wait_for_input=...)`.

Under Prefect's name, for flows that ask a person while they run on this machine. How a run pauses is in
`penstock.authoring.pause`; in the cluster, `approval` of a task waits for a person.
"""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.local.run_input import RunInput

__all__ = ["RunInput"]

refuse_others(__name__)
