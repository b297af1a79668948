"""How fast it is: both sides of every ratio in one run, a table of `results/` a module."""
