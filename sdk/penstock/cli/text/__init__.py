"""Output as text: progress, description and outcome of a run, times, months. Pure.

Pictures of graphs are in `penstock.drawing`.
"""
