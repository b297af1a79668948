"""Notebook 13: pruning strategies other than one-shot L1."""
