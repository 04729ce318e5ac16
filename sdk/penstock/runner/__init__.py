"""The program in the Pod of a task: `python -m penstock.runner`. It runs one call and writes its outputs.

Retries, timeouts and caching are those of the engine, outside of the Pod. Fast start-up matters here.
"""

from penstock.authoring.prefect.not_offered import refuse_others

refuse_others(__name__)
