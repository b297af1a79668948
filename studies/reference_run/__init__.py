"""Notebook 04: the authors' published run, LeNet-5 on MNIST."""
