"""Penstock's own kinds as the operator reads them: one struct for each, decoded once.

Specs stay plain data, since the models of `penstock.api` read them; nothing here judges a spec.
"""
