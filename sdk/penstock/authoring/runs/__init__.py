"""Flow runs and task runs in Python: their data, states and futures, and the context in which code runs.

What changes them is in `penstock.local`. How arguments wait for futures is in `penstock.authoring.arguments`.
"""
