"""The commands about flows before they run: checking, compiling, drawing and deploying them.

One module for each command; `penstock.cli.main` loads the one that was typed, and no other. The work is done by
`penstock.cli.deployment`, `penstock.cli.manifests` and `penstock.drawing`.
"""
