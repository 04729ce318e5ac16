"""The result of a state that is not final."""

from prefect.exceptions import UnfinishedRun
from prefect.states import Running

try:
    Running().result()
except UnfinishedRun:
    print("UnfinishedRun")
