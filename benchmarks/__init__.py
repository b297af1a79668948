"""Benchmarks: speed against peers, as ratios with both sides in one run. Not in the wheel."""
