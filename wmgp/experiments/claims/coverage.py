"""What a recorded sweep covers, in words, and the command that measures it again."""

import shlex
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pandas as pd

from ..names import SCRATCH
from ..studies import imagenet_sample

PAPER = {"lenet_small", "resnet18", "vgg11_bn"}  # whose Figures 1 and 2 have the grid below
GRID = {"l1": 101 * 10, "random": 101 * 10}  # amounts by seeds, by method


def ranges(numbers: Iterable[int]) -> str:
    """0, 1, 3, 4, 5 as `0-1 3-5`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return " ".join("-".join(map(str, part)) for part in parts)


def steps(amounts: Iterable[float]) -> str:
    """Equally spaced amounts as `FIRST:LAST:STEP`, and those between them, or without such a grid all, one by one."""
    found = sorted({round(amount, 9) for amount in amounts})
    if len(found) > 2:
        step = Counter(round(b - a, 9) for a, b in pairwise(found)).most_common(1)[0][0]
        grid = [round(found[0] + i * step, 9) for i in range(round((found[-1] - found[0]) / step) + 1)]
        between = sorted(set(found) - set(grid))
        if set(grid) <= set(found) and len(grid) > max(2, len(between)):
            return " ".join([f"{grid[0]:g}:{grid[-1]:g}:{step:g}", *(f"{amount:g}" for amount in between)])
    return " ".join(f"{amount:g}" for amount in found)


def share(rows: pd.DataFrame) -> float | None:
    """How much of the paper's grid the rows are; None for networks whose curves the paper does not show."""
    if rows["network"].iloc[0] not in PAPER or rows["epochs"].iloc[0] != 1:
        return None
    done = rows.loc[rows["method"].isin(list(GRID)), ["method", "amount", "seed"]].drop_duplicates()
    return len(done) / sum(GRID.values())


def command(rows: pd.DataFrame, name: str) -> str:
    """What measures these rows (`results.with_facts`) of the table `name` again."""
    out = f"--out {shlex.quote(f'results/{name}')}"
    if rows["data"].iloc[0] == imagenet_sample.NAME:
        return f"python -m wmgp.experiments.studies.imagenet_sample --steps {rows['amount'].nunique() - 1} {out}"
    words = {
        "network": rows["network"].iloc[0],
        "data": rows["data"].iloc[0].removesuffix("-jpeg"),
        "methods": " ".join(dict.fromkeys(rows["method"])),
        "amounts": steps(rows["amount"]),
        "seeds": ranges(rows["seed"]),
    }
    if rows["start"].iloc[0] != SCRATCH:
        words["recipe"] = "imagenet"
    if rows["epochs"].iloc[0] != 1:
        words["tuning-epochs"] = str(rows["epochs"].iloc[0])
    options = " ".join(f"--{option} {value}" for option, value in words.items())
    return f"wmgp sweep {options} {out}"
