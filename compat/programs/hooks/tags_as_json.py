"""A hook that writes the tags of its run as JSON."""

import json

from prefect import flow, tags


def report(flow, run, state):
    print(json.dumps({"tags": sorted(run.tags), "list": isinstance(run.tags, list)}))


@flow(on_completion=[report])
def main():
    return 1


with tags("a", "b"):
    main()
