"""Measurements that take too long for the suite; each is a program of its own."""
