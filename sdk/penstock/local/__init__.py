"""Running Python flows in this process: what happens when a script calls or serves one.

Runs of manifests, with a process or container for each Pod, are in `pods`.
"""
