"""Random manifests against a running operator: each is refused with a field path, or comes to a documented end.

`schemas`, `mutations`, `labelled` and `manifests` draw them, `ends` judges, `campaign` applies them and watches.
`python -m tests.fuzz` runs thousands; tests/api/test_fuzz.py a few hundred. No tests are in here.
"""
