"""Notebook 08: the optimal amount and its neighbours."""
