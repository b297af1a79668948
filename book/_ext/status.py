"""``{sweep-status}``: every recorded sweep, what it measured, when, how long it took, and the command that did it.

A row for each network, data set, start and number of epochs in the tables of jobs in ``results/``; the last column is
how much of the paper's grid for that network it covers.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from tables import table

from wmgp.experiments import imagenet_sample
from wmgp.experiments.results import sweeps

HEAD = ["result", "network", "data", "seeds", "amounts", "methods", "epochs", "rows", "device", "date", "hours",
        "paper's grid"]  # fmt: skip
PAPER = {"lenet_small", "resnet18", "vgg11_bn"}  # whose Figures 1 and 2 have the grid below
GRID = {"l1": 101 * 10, "random": 101 * 10}  # amounts by seeds, by method


def ranges(numbers: Iterable[int]) -> str:
    """0, 1, 3, 4, 5 as ``0-1 3-5``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return " ".join("-".join(map(str, part)) for part in parts)


def steps(amounts: Iterable[float]) -> str:
    """Equally spaced amounts as ``FIRST:LAST:STEP``, others one by one."""
    found = sorted(set(amounts))
    gaps = {round(b - a, 9) for a, b in zip(found, found[1:], strict=False)}
    if len(found) > 2 and len(gaps) == 1:
        return f"{found[0]:g}:{found[-1]:g}:{gaps.pop():g}"
    return " ".join(f"{amount:g}" for amount in found)


def share(rows: pd.DataFrame) -> str:
    """How much of the paper's grid the rows are; nothing for networks whose curves the paper does not show."""
    if rows["network"].iloc[0] not in PAPER or rows["epochs"].iloc[0] != 1:
        return ""
    done = rows.loc[rows["method"].isin(list(GRID)), ["method", "amount", "seed"]].drop_duplicates()
    return f"{len(done) / sum(GRID.values()):.0%}"


def command(rows: pd.DataFrame, name: str) -> str:
    """What measures these rows again."""
    out = f"--out {shlex.quote(f'results/{name}')}"
    if rows["data"].iloc[0] == imagenet_sample.NAME:
        return f"python -m wmgp.experiments.imagenet_sample --steps {rows['amount'].nunique() - 1} {out}"
    words = {
        "network": rows["network"].iloc[0],
        "data": rows["data"].iloc[0].removesuffix("-jpeg"),
        "methods": " ".join(dict.fromkeys(rows["method"])),
        "amounts": steps(rows["amount"]),
        "seeds": ranges(rows["seed"]),
    }
    if rows["start"].iloc[0] != "scratch":
        words["recipe"] = "imagenet"
    if rows["epochs"].iloc[0] != 1:
        words["tuning-epochs"] = str(rows["epochs"].iloc[0])
    options = " ".join(f"--{option} {value}" for option, value in words.items())
    return f"wmgp sweep {options} {out}"


def cells(name: str, rows: pd.DataFrame) -> list[str]:
    """A row of the table."""
    first, dates = rows.iloc[0], sorted(set(rows["date"]))
    network = first["network"] if first["start"] == "scratch" else f"{first['network']} from ImageNet"
    methods = ", ".join(dict.fromkeys(rows["method"]))
    return [
        name, network, first["data"], ranges(rows["seed"]), steps(rows["amount"]), methods, str(first["epochs"]),
        f"{len(rows):,}", ", ".join(sorted(set(rows["device"]))), " to ".join(dict.fromkeys((dates[0], dates[-1]))),
        f"{rows['seconds'].sum() / 3600:.1f}", share(rows),
    ]  # fmt: skip


class SweepStatus(SphinxDirective):
    """The directive."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The table, and below it the commands."""
        folder = Path(self.env.srcdir, "results")
        for path in (*folder.glob("*.csv"), *folder.glob("*.json")):
            self.env.note_dependency(str(path))
        found = sweeps(folder)
        if not found:
            raise self.error("sweep-status: no table of a sweep in results/")
        said, _ = self.parse_inline(" ".join(self.content))
        rows = [[nodes.Text(text) for text in cells(*each)] for each in found]
        again = "\n".join(command(part, name) for name, part in found)
        return [table(said, HEAD, rows, "results"), nodes.literal_block(again, again, language="text")]


def setup(app):
    """Register the directive."""
    app.add_directive("sweep-status", SweepStatus)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
