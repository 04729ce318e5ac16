"""Graphs of Flows and runs as pictures: layout, SVG, PNG, DOT, Mermaid and text. Pure.

Shared by the command line and the web UI. Nothing here reads a cluster.
"""
