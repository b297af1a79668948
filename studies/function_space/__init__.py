"""Notebook 06: predictions of a network during its training, and of its pruned copies."""
