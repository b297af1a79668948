"""Passes over the weights: exact histograms of magnitudes, moments and counts."""
