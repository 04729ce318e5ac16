"""The client side of the API server: connection, requests, watches, writes, and the Lease.

Shared by every process that speaks to the API server in volume. Nothing here knows runs or tasks.
"""
