"""Helpers of Prefect that flows use: `penstock.utilities.annotations`.

They mark arguments of a call, such as one that may come from a failed task. Nothing else of Prefect's utilities is
here, and nothing that Penstock itself shares.
"""
