"""Notebook 14: a small vision transformer."""
