"""Notebook 02: how much of a network can be pruned."""
