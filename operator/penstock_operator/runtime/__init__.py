"""What everything else runs on: the work queue, workers, background tasks, kopf's thread, Events, HTTP ports.

Nothing here knows a kind of object.
"""
