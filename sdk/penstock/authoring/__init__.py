"""The Python API for flows and tasks: decorators, options, futures, states and the context of a run.

Running them is in `penstock.local` (this process) and `penstock.runner` (Pods); `compilation` turns a flow into a Flow.
"""
