"""The commands about runs: starting, watching, controlling and retrying them.

One module for each command; `penstock.cli.main` loads the one that was typed, and no other. How a run is started and
shown is in `penstock.cli.cluster`, and what runs on this machine in `penstock.local`.
"""
