"""The parts of `photochrom bench` that run in separate processes: the bare model, and the host's work alone.

Each reads a line of JSON and answers with a line of JSON, so that the bench can let two of them take turns.
"""
