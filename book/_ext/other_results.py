"""``{other-results}``: what is recorded in ``results/`` beside sweeps, parents and benchmarks, and the commands for it.

A row for the authors' own run, MobileNetV2's weights, networks whose kurtosis was moved, rescaled networks, fine-tuning
watched by the epoch, networks of others, and each file of outputs and loss surfaces.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

from studies.loss_landscape import measure
from wmgp.experiments.display_names import DATA, NETWORKS
from wmgp.experiments.results.array_files import read_arrays
from wmgp.experiments.results.formatting import format_integer_ranges

HEAD = ["result", "network", "data", "seeds", "device", "date", "minutes"]
PLAIN = {
    "reference_run": "python -m studies.reference_run.measure",
    "mobilenet_v2": "python -m studies.shared.pretrained",
    "kurtosis_on_purpose": "python -m studies.kurtosis_on_purpose.measure",
    "rescaling": "python -m studies.rescaling.measure",
    "beyond_l1": "python -m studies.beyond_l1.measure",
    "tuning_paths": "python -m studies.more_fine_tuning.measure",
    "vit_fashion_mnist": "python -m studies.transformers.measure",
    "zoo": "python -m studies.zoo.measure",
}


def recorded(folder: Path) -> Iterator[tuple[Path, list[dict[str, Any]], str]]:
    """Each of these results, what is recorded of its runs, and the command."""
    for path, command in ((folder / f"{name}.json", command) for name, command in PLAIN.items()):
        if path.is_file():
            said = json.loads(path.read_text(encoding="utf-8"))
            yield path, [said["provenance"]] if "provenance" in said else list(said.values()), command
    for path in sorted(folder.glob("functions_*.npz")):
        _, facts = read_arrays(path)
        yield path, [facts], measure.command(facts)
    for path in sorted(folder.glob("landscape_*.npz")):
        arrays, facts = read_arrays(path)
        yield path, [facts], measure.command(arrays, facts)


def seeds(runs: list[dict[str, Any]]) -> list[int]:
    """The seeds of all runs together; none where nothing is left to chance."""
    return sorted({seed for run in runs for seed in run.get("seeds", [run["seed"]] if "seed" in run else [])})


def row(path: Path, runs: list[dict[str, Any]]) -> list[str]:
    """The cells of a row; minutes are those of all runs together, where they are recorded."""
    dates = sorted({run["date"] for run in runs})
    networks, data = (
        ", ".join(dict.fromkeys(str(names.get(run[key], run[key])) for run in runs))
        for key, names in (("network", NETWORKS), ("data", DATA))
    )
    minutes = sum(run.get("wall_seconds", 0) for run in runs) / 60
    return [
        path.stem, networks, data, format_integer_ranges(seeds(runs)), runs[0].get("device", "cpu"),
        " to ".join(dict.fromkeys((dates[0], dates[-1]))),
        f"{minutes:.1f}" if minutes else "",
    ]  # fmt: skip


class OtherResults(SphinxDirective):
    """The directive."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The table, and below it the commands."""
        found = list(recorded(Path(self.env.srcdir, "results")))
        if not found:
            raise self.error("other-results: nothing recorded in results/")
        for path, _, _ in found:
            self.env.note_dependency(str(path))
        said, _ = self.parse_inline(" ".join(self.content))
        rows = [[nodes.Text(text) for text in row(path, runs)] for path, runs, _ in found]
        again = "\n".join(command for _, _, command in found)
        return [table(said, HEAD, rows, "results"), nodes.literal_block(again, again, language="text")]


def setup(app: Sphinx):
    """Register the directive."""
    app.add_directive("other-results", OtherResults)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
