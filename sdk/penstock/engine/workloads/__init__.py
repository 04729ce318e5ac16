"""Kubernetes objects built from decisions: the Pod, child run or claim of an attempt. Pure.

Their status is read in the operator's `workloads`.
"""
