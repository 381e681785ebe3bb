"""Environments as batches of NumPy arrays."""
