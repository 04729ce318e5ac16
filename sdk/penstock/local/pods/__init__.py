"""Runs of manifests on this machine: the engine as in the cluster, a process or a container in place of each Pod."""
