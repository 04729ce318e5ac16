"""FlowRuns: from their creation to their end, one key at a time.

Decisions are made by `penstock.engine.machine`; here they become writes. Finished runs are removed by `retention`.
"""
