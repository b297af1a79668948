"""What is measured beside sweeps: a module for each table of `results/`, and what it is made of."""
