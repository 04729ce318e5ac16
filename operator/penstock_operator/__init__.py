"""The operator: kopf's handlers, the controllers, and their metrics."""
