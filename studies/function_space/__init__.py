"""Notebook 06: predictions on the way from initialisation to the trained parent, and those of pruned networks."""
