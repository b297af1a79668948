"""Notebook 07: loss along lines and planes through pruned networks."""
