"""Notebook 11: networks whose kurtosis was changed on purpose."""
