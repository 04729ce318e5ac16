"""What removes finished objects: Pods of ended attempts, and finished runs.

Entries of the cache are removed by `runs.cache.sweep`.
"""
