"""What a run on this machine shows and asks: its log, prints, tracebacks, summary, and questions at the terminal.

The screen of `penstock run --local` is that of the command line.
"""
