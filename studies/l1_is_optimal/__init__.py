"""Notebook 01: L1 pruning maximises the cosine similarity."""
