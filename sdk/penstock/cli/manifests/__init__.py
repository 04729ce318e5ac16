"""Manifests and what is typed beside them: YAML and JSON read and written, params, overrides, checks.

Nothing here needs a cluster.
"""
