"""Sweeps: prune a trained parent by every method and amount, fine-tune, and record a row for each."""
