"""The API `penstock.dev/v1alpha1`: pydantic models, the single source of CRDs, documentation and validation."""
