"""The operator: kopf handlers, the engine room and its metrics."""
