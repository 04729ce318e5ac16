"""What a task's Pod runs: `python -m penstock.runner`. It carries out one call and writes its outputs."""
