"""Benchmarks: speed against other programs, as ratios of two timings in one run. They are not in the wheel."""
