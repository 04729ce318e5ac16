"""Penstock's objects as the API server stores them, decoded once when they are received.

Metadata and status are typed. A spec stays plain JSON: the models of `penstock.api` read it, with problems for people.
"""
