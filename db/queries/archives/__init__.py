"""Archived jobs: rows moved out of the database step by step, and what stays known of them."""
