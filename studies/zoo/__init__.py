"""Notebook 15: networks that ship inside packages."""
