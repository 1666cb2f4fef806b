"""The scheduler's process: its loop and the tasks of each round."""
