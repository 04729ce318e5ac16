"""Schedules by events, each a trigger: ended runs, changed objects and signed webhooks that create runs.

What an event contains, and which runs it creates, is decided in `penstock.engine.triggers`.
"""
