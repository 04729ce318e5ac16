"""What the compiler and the runner agree on: where the code of a flow is, and how a task is called in its Pod.

The compiler is `penstock.authoring.compilation`, the runner `penstock.runner`. Options of Pods are in neither.
"""
