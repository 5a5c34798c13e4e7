"""Writes the C library of one network: kernels, tables, and one file for a person to read."""
