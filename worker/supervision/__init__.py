"""Starts and watches the worker's processes, and starts them again."""
