"""The paper's claims beside what was measured for this book: a row for each figure, a verdict for each claim.

`collect` reads `results/` and nothing else: published figures from published.json, the limits with their reasons
from tolerances.json, ours from the tables and records. `check` refuses a claim without a row, a published figure
without one, and a number without provenance.
"""
