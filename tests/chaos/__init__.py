"""Flows with known ends while everything around them breaks, and a judge who reads the history that etcd kept.

`cases` are the flows, `faults` what breaks (one class each), `world` the cluster in which both happen, `ledger` the
history of every object, and `judge` the rules. `python -m tests.chaos` runs for as long as one likes.
"""
