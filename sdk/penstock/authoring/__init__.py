"""What flows and tasks are written with: decorators, futures, states and the context of a run."""
