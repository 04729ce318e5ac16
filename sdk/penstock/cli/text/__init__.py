"""What a person reads: states, times, months and the story of a run, as text. Pure.

Pictures of graphs are in `penstock.drawing`.
"""
