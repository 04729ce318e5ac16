"""Blocks: values and settings that are set outside of flows and loaded by name.

They need pydantic, so nothing that a flow always imports is here. Variables are in `penstock.authoring.storage`.
"""
