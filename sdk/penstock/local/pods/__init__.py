"""Runs of manifests on this machine: the same engine as in the cluster, with a process or container for each Pod.

Python flows that are called in a process are in the package above. Files and screen are those of the command line.
"""
