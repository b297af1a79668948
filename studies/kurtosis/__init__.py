"""Notebook 03: kurtosis, its definitions, and the safe amount."""
