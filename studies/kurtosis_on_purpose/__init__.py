"""Notebook 11: networks trained to have different kurtoses."""
