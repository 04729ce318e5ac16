"""The engine: pure decisions, without client, clock or loop.

What a spec means, which tasks of a run and which runs of a Schedule start now, and how the objects for them look. No
request is sent and no time is read here: the operator and `penstock run --local` supply both and do what is decided.
"""
