"""Limits within this process: `penstock.concurrency.sync`, and `penstock.concurrency.asyncio` for coroutines.

Under Prefect's names, for the code of tasks; `penstock.authoring.limits` holds the slots. Limits between Pods are
not here: those are `concurrency` of a Flow.
"""
