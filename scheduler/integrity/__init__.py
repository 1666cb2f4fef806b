"""Bags, and checks that stores still hold what the job database says."""
