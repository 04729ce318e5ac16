"""The cache of task outputs: one ConfigMap for each key, whose creation is the lock.

Which runs share outputs is decided in `penstock.engine.cache`.
"""
