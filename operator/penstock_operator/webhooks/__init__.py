"""The operator's own HTTP server: metrics, probes, and the admission webhook.

Webhooks of Schedules are answered by `triggers.webhook`, on a port of the same server.
"""
