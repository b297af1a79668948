"""Training, masked fine-tuning and evaluation of the experiments' networks."""
