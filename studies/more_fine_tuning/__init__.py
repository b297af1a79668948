"""Notebook 16: fine-tuning for one epoch and for ten."""
