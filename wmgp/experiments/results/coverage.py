"""How much of the paper's grid of amounts and seeds a recorded sweep covers."""

import pandas as pd

PAPER_NETWORKS = {"lenet_small", "resnet18", "vgg11_bn"}  # of the paper's Figures 1 and 2
PAPER_GRID = {"l1": 101 * 10, "random": 101 * 10}  # method -> amounts times seeds


def paper_grid_share(rows: pd.DataFrame) -> float | None:
    """Return the share in [0, 1] of the paper's grid that the rows cover; None without a published curve."""
    if rows["network"].iloc[0] not in PAPER_NETWORKS or rows["epochs"].iloc[0] != 1:
        return None
    covered = rows.loc[rows["method"].isin(list(PAPER_GRID)), ["method", "amount", "seed"]].drop_duplicates()
    return len(covered) / sum(PAPER_GRID.values())
