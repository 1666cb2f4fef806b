"""Submits jobs, dispatches chunks, writes reports: everything that runs beside the GPU pool.

It never loads TensorFlow.
"""
