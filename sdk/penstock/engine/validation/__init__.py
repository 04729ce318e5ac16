"""Whether a Flow, FlowRun, Schedule or Backfill is valid, and what is wrong with it.

The webhook, the operator, `penstock lint` and the SDK all ask here.
"""
