"""The API `penstock.dev/v1alpha1`: pydantic models, the single source of CRDs, documentation and validation.

Here are kinds, fields, their limits and names on objects, without any decision. Engine, operator and command line read
specs with them; `python -m penstock.api.generate` writes the CRDs and the reference.
"""
