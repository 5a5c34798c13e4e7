"""Passes: each file holds one, named by its verb; each takes a graph and returns a new one."""
