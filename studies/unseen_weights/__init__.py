"""Notebook 17: weights that see nothing."""
