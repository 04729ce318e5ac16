"""The state of one run: its tasks, its status, how failures end it, and its timers.

The steps that change it (starts, attempts, approvals, skips) are in the package above.
"""
