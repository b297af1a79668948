"""Notebook 12: rescaling that leaves a network's function as it is."""
