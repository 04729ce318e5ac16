"""The state machine of one run: from what was stored and what is observed to what is done next.

It reads no clock and sends nothing. The Pods and child runs of attempts are built in `penstock.engine.workloads`.
"""
