"""The paper's claims and our measurements: a row for each measured value, a verdict for each claim.

`collect` only reads `results/`: published values from published.json, limits and their reasons from tolerances.json,
measured values from the tables and records. `check` raises InputError for a claim or a published value without a row,
and for a row without provenance.
"""
