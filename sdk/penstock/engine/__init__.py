"""The engine: pure decisions, without client, clock or loop."""
