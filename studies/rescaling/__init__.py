"""Notebook 12: rescaling that does not change a network's function."""
