"""The operator: kopf's handlers, a package for each kind that it reconciles, and what these share.

`handlers` is what kopf calls, and `process` starts and stops everything. What runs next is decided in
`penstock.engine`, and requests are sent by `penstock.kube`. The chart's Pods run `python -m penstock_operator`.
"""
