"""Results that are stored on this machine: of tasks, of runs that can be resumed, and of transactions.

Which of them a task run may use is decided by its cache key (`penstock.authoring.caching`).
"""
