"""``{sweep-status}``: every recorded sweep, what it measured, when, how long it took, and the command that did it.

A row for each network, data set, start and number of epochs in the tables of jobs in ``results/``; one column is
how much of the paper's grid for that network it covers.
"""

from pathlib import Path

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

from wmgp.experiments.results.coverage import paper_grid_share, sweep_command
from wmgp.experiments.results.formatting import format_amounts, format_integer_ranges
from wmgp.experiments.results.tables import sweeps

HEAD = ["result", "network", "data", "paper's grid", "methods", "amounts", "seeds", "epochs", "rows", "hours",
        "device", "date"]  # fmt: skip


def cells(name: str, rows: pd.DataFrame) -> list[str]:
    """A row of the table."""
    first, dates, done = rows.iloc[0], sorted(set(rows["date"])), paper_grid_share(rows)
    network = first["network"] if first["start"] == "scratch" else f"{first['network']} from ImageNet"
    methods = ", ".join(dict.fromkeys(rows["method"]))
    return [
        name.removesuffix(".csv"), network, first["data"], "" if done is None else f"{done:.0%}", methods,
        format_amounts(rows["amount"]), format_integer_ranges(rows["seed"]), str(first["epochs"]), f"{len(rows):,}",
        f"{rows['seconds'].sum() / 3600:.1f}", ", ".join(sorted(set(rows["device"]))),
        " to ".join(dict.fromkeys((dates[0], dates[-1]))),
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
        again = "\n".join(sweep_command(part, name) for name, part in found)
        return [table(said, HEAD, rows, "results"), nodes.literal_block(again, again, language="text")]


def setup(app: Sphinx):
    """Register the directive."""
    app.add_directive("sweep-status", SweepStatus)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
