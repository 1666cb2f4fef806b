"""The parts of `photochrom bench` that run as processes of their own: the bare model, and the host's work alone.

Each answers on standard output, a line of JSON for a line of JSON, so that whoever asks can let two of them take turns.
"""
