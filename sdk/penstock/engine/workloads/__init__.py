"""Kubernetes objects built from decisions: the Pod, child run or claim of an attempt. Pure.

What such objects say later is read in the operator's `workloads`.
"""
