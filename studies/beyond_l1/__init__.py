"""Notebook 13: schedules and methods other than one-shot L1."""
