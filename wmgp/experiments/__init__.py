"""Data, networks, training and results: the only part of the package that trains."""
