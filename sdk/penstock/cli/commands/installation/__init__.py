"""The commands about an installation: making one, examining it, and saving what it runs.

One module for each command, and the checks of `penstock doctor` beside it. `penstock.cli.main` loads the one that was
typed, and no other. Commands about single runs and flows are not here.
"""
