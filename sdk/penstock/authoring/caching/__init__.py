"""Cache keys of task runs, and the fingerprints of values from which they are computed.

Cache policies are options (`penstock.authoring.options`); results are stored in `penstock.local.results`.
"""
