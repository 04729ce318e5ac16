"""Manifests: reads and writes YAML and JSON, checks objects, reads params and options that override fields.

Nothing here needs a cluster.
"""
