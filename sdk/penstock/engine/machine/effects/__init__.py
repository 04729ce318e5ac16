"""What the machine asks for: effects with their inputs, Events, and the outbox in which they wait.

The objects that they create are built in `penstock.engine.workloads`.
"""
