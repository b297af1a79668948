"""Notebook 10: rules that choose an amount from the weights alone."""
