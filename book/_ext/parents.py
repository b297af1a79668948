"""``{parents-table}``: the trained networks recorded in ``results/parents``: how, and how accurate they are.

A row for each network, data set and recipe; its body is the caption, to which where it comes from is added.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from recorded import commits
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

from wmgp.experiments.results.formatting import format_mean_range
from wmgp.experiments.training.history import records
from wmgp.experiments.training.recipes import min_parent_accuracy

HEAD = ["network", "data", "start", "epochs", "batch", "peak rate", "seeds", "accuracy", "needed", "minutes", "device"]
KEY = ("network", "data", "start", "epochs", "batch_size", "learning_rate")


def families(folder: Path) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """What is recorded of the parents below a folder, those trained alike together, in the order of their keys."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in records(folder):
        found.setdefault(tuple(record[name] for name in KEY), []).append(record)
    return dict(sorted(found.items()))


def row(key: tuple[Any, ...], alike: list[dict[str, Any]]) -> list[str]:
    """The cells of a row."""
    minutes = sum(float(record["seconds"]) for record in alike) / len(alike) / 60
    accuracy = format_mean_range([record["accuracy"] for record in alike], ".1%")
    least = min_parent_accuracy(key[0], key[1])
    devices = ", ".join(sorted({record["device"] for record in alike}))
    return [*map(str, key), str(len(alike)), accuracy, f"{least:.0%}" if least else "", f"{minutes:.1f}", devices]


class ParentsTable(SphinxDirective):
    """The directive."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The table."""
        folder = Path(self.env.srcdir, "results", "parents")
        for path in folder.rglob("*.json"):
            self.env.note_dependency(str(path))
        found = families(folder)
        if not found:
            raise self.error("parents-table: no JSON file in results/parents")
        everyone = [record for alike in found.values() for record in alike]
        by = commits(record["commit"] for record in everyone)
        cpus = ", ".join(sorted({record["gpu"] or record["cpu"] for record in everyone}))
        where = f"From `results/parents`: {by}, on {cpus}, {max(record['date'] for record in everyone)}."
        said, _ = self.parse_inline(" ".join([*self.content, where]))
        cells = [[nodes.Text(text) for text in row(key, alike)] for key, alike in found.items()]
        return [table(said, HEAD, cells, "results")]


def setup(app: Sphinx):
    """Register the directive."""
    app.add_directive("parents-table", ParentsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
