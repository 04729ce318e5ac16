"""What every controller runs on: the work queue, workers, background tasks, kopf's thread, Events.

Nothing here knows a kind of object.
"""
