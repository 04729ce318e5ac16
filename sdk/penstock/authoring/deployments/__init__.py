"""Deployments: flows with schedules and parameters, and their runs in a cluster, as Python code asks for them.

What serves them is in `penstock.local.serving`; what writes their manifests, in `penstock.authoring.compilation`.
"""
