"""Recorded results: tables, arrays, their provenance, and their formatting."""
