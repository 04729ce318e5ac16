"""Schedules by events: ended runs, changed objects and signed webhooks that create runs.

What an event says, and which runs it creates, is decided in `penstock.engine.triggers`.
"""
