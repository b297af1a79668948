"""The figures of the notebooks, in the one style of `wmgp.plotting`: each takes the rows that it draws."""
