"""The options of @flow and @task: their keywords, how they are read, and the values that they take.

Those are cache policies, serializers, task runners and delays before retries. Nothing here knows of runs: cache keys
are computed in `penstock.authoring.caching`.
"""
