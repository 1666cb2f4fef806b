"""Bags, and whether stores still hold what the job database says."""
