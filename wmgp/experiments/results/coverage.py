"""What a recorded sweep covers, in words, and the command that measures it again."""

import shlex

import pandas as pd

from studies.when_it_fails import imagenet_sample

from ..display_names import SCRATCH
from .formatting import format_amounts, format_integer_ranges

PAPER = {"lenet_small", "resnet18", "vgg11_bn"}  # whose Figures 1 and 2 have the grid below
GRID = {"l1": 101 * 10, "random": 101 * 10}  # amounts by seeds, by method


def paper_grid_share(rows: pd.DataFrame) -> float | None:
    """How much of the paper's grid the rows are; None for networks whose curves the paper does not show."""
    if rows["network"].iloc[0] not in PAPER or rows["epochs"].iloc[0] != 1:
        return None
    done = rows.loc[rows["method"].isin(list(GRID)), ["method", "amount", "seed"]].drop_duplicates()
    return len(done) / sum(GRID.values())


def sweep_command(rows: pd.DataFrame, name: str) -> str:
    """What measures these rows (`results.with_facts`) of the table `name` again."""
    out = f"--out {shlex.quote(f'results/{name}')}"
    if rows["data"].iloc[0] == imagenet_sample.NAME:
        return f"python -m studies.when_it_fails.imagenet_sample --steps {rows['amount'].nunique() - 1} {out}"
    words = {
        "network": rows["network"].iloc[0],
        "data": rows["data"].iloc[0].removesuffix("-jpeg"),
        "methods": " ".join(dict.fromkeys(rows["method"])),
        "amounts": format_amounts(rows["amount"]),
        "seeds": format_integer_ranges(rows["seed"]),
    }
    if rows["start"].iloc[0] != SCRATCH:
        words["recipe"] = "imagenet"
    if rows["epochs"].iloc[0] != 1:
        words["tuning-epochs"] = str(rows["epochs"].iloc[0])
    options = " ".join(f"--{option} {value}" for option, value in words.items())
    return f"wmgp sweep {options} {out}"
