# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Loss landscapes at the same cosine
#
# Prune by magnitude until the cosine to the parent is 0.99. Then prune another copy at random, to the same cosine. The
# paper says two things about this pair. The first prune removes most of the weights, the second hardly any. And yet the
# second one disturbs the loss landscape several times as much, by the largest change of the loss anywhere on the
# surface, the l-infinity distance. *Networks are brittle in their large weights.* The last table has the figures.
#
# Here both are done to parents trained for this book. How much is removed, how do the surfaces look, and how far apart
# are they? The figures show LeNet-5 on MNIST; the last table has every network whose surfaces were recorded.
#
# ```{verdicts} C4
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded surfaces), "quick" (a surface on digits, a minute) or "tiny" (seconds)
record: str = "landscape_lenet5_mnist.npz"  # the recorded surfaces that are drawn, a file in results/
device: str = "auto"  # device of computations in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # seed of the recorded network that is drawn; in the other presets, the random seed

# %% tags=["hide-input"]
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy.stats import binomtest

from studies.loss_landscape import measure
from studies.loss_landscape.figure import lines_figure, planes_figure
from wmgp.experiments import models, notebook
from wmgp.experiments.data import load
from wmgp.experiments.display_names import display_name
from wmgp.experiments.results import formatting
from wmgp.experiments.results.array_files import read_arrays
from wmgp.experiments.results.tables import locate
from wmgp.experiments.statistics import intervals
from wmgp.experiments.statistics.surfaces import surface_distance
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import DIGITS_CONFIG

where = notebook.setup(preset, seed, device)
LABELS = {"parent": "parent", "l1": "L1", "random": "random"}


def read_surfaces(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Return the recorded arrays and their provenance."""
    arrays, facts = read_arrays(path)
    return arrays, facts | {"name": display_name(facts["network"], facts["data"], facts.get("start", "scratch"))}


def compute_surfaces() -> tuple[dict[str, np.ndarray], dict]:
    """Compute coarse surfaces of a network on digits, trained fully or, in preset tiny, for one epoch."""
    test, config = load("digits", False, where), DIGITS_CONFIG
    points, images = (31, 15), len(test)
    if preset == "tiny":
        config, points, images = replace(DIGITS_CONFIG, epochs=1), (7, 5), 50
    trained = load_or_train_parent("lenet5", load("digits", True, where), seed, config.epochs, config.recipe)
    ticks = {"line_ticks": np.linspace(0, 1.5, points[0]), "plane_ticks": np.linspace(-1, 1, points[1])}
    start = models.build("lenet5", seed).to(where)
    measured = measure.measure(trained, start, test.first(images), seed, *ticks.values())
    arrays = {"seeds": np.array([seed]), **ticks, **{name: array[None] for name, array in measured.items()}}
    computed_facts = {
        "name": display_name("lenet5", "digits"),
        "images": images,
        "device": where.type,
        "cpu": "here",
        "date": "now",
    }
    return arrays, computed_facts


surfaces, facts = read_surfaces(locate(record)) if preset == "default" else compute_surfaces()
notebook.check_choice("seed", seed, surfaces["seeds"].tolist())
Markdown(
    f"{facts['name']}: {len(surfaces['seeds'])} parents, the first {facts['images']:,} test images; "
    f"{facts['device']} ({facts['cpu']}), {facts['date']}."
)

# %% [markdown]
# ## How much each method removes
#
# Random pruning keeps a squared cosine of one minus the amount, on the mean, whatever the network. So 0.99 means two
# percent, always. What magnitude pruning removes depends on the weights.

# %%
published = json.loads(locate("published.json").read_text())["landscape"]
removed = surfaces["amount"][:, 1]
pd.DataFrame(
    {
        "L1": {
            "amount": f"{removed.min():.1%} to {removed.max():.1%}",
            "published": f"about {published['l1']['amount']:.0%}",
        },
        "random": {
            "amount": f"{surfaces['amount'][0, 2]:.2%}",
            "published": f"about {published['random']['amount']:.0%}",
        },
    }
).T

# %% [markdown]
# ## From the initialisation through the network
#
# A line through the weights: it starts at the initialisation, passes the network at 1 and goes on. The pruned networks
# have a line of their own each, to where they are. Lines are means over the seeds, bands reach from the least to the
# largest.

# %% mystnb={"image": {"alt": "Loss along the line from initialisation through parent, L1 prune and random prune."}}
lines = {LABELS[name]: surfaces["line"][:, i] for i, name in enumerate(measure.SURFACE_NETWORKS)}
lines_figure(surfaces["line_ticks"], lines, ("initialisation", "network"))

# %% [markdown]
# ## Around the network
#
# Two random directions, each filter as long as the network's own, span a plane {cite:p}`li2018visualizing`. The parent
# lies at the centre of the first, its prunes at the centres of the others. Directions and shades are the same in all
# three.

# %% mystnb={"image": {"alt": "Loss on the same plane around parent, L1 prune and random prune, in shades."}}
chosen = surfaces["seeds"].tolist().index(seed)
planes = {LABELS[name]: surfaces["plane"][chosen, i] for i, name in enumerate(measure.SURFACE_NETWORKS)}
planes_figure(surfaces["plane_ticks"], planes)

# %% [markdown]
# ## How far apart they are
#
# The l-infinity distance is the largest difference between the parent's surface and the pruned network's. It lies where
# the loss is large, usually at a corner of the plane, so its size says as much of the plane's size as of the pruning.
# The ratio of both distances is the fairer number. The difference at the centre is what pruning does to the network
# itself.

# %% tags=["hide-input"]
INDEX = {"l1": 1, "random": 2}  # index of the network in the arrays
RATIO = "random / L1"
published_distances = {name: published[name]["l_infinity_distance"] for name in INDEX}
published_ratio = published_distances["random"] / published_distances["l1"]


def surface_statistics(surfaces: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the rows of the table below: one value per parent, shape [seeds]."""
    distances = {name: [surface_distance(each[0], each[i]) for each in surfaces["plane"]] for name, i in INDEX.items()}
    middle = len(surfaces["plane_ticks"]) // 2
    at_centre = surfaces["plane"][:, :, middle, middle]  # [seeds, networks]
    return {
        "amount, L1": surfaces["amount"][:, 1],
        "l-infinity distance (nats), L1": np.array(distances["l1"]),
        "l-infinity distance (nats), random": np.array(distances["random"]),
        RATIO: np.array(distances["random"]) / np.array(distances["l1"]),
        "loss increase at the centre (nats), L1": at_centre[:, 1] - at_centre[:, 0],
        "loss increase at the centre (nats), random": at_centre[:, 2] - at_centre[:, 0],
    }


def format_cell(label: str, values: np.ndarray) -> str:
    """Format the mean of a row, with its interval."""
    if label == RATIO:
        return formatting.format_interval(*intervals.geometric_interval(values), ".2f")
    form = ".3f" if label.startswith("amount") else ".4f" if label.startswith("loss") else ".2f"
    return formatting.format_interval(*intervals.mean_interval(values), form)


# %%
others = sorted(locate(record).parent.glob("landscape_*.npz")) if preset == "default" else []
all_surfaces = [read_surfaces(path) for path in others] or [(surfaces, facts)]
statistics = {network_facts["name"]: surface_statistics(arrays) for arrays, network_facts in all_surfaces}
columns = {
    f"{name} ({len(table[RATIO])})": {label: format_cell(label, values) for label, values in table.items()}
    for name, table in statistics.items()
}
published_amount = f"about {published['l1']['amount']}"
published_column = [
    published_amount,
    f"{published_distances['l1']}",
    f"{published_distances['random']}",
    f"{published_ratio:.2f}",
    "",
    "",
]
pd.DataFrame({**columns, "published": dict(zip(next(iter(columns.values())), published_column, strict=True))})

# %% [markdown]
# Means over the parents, whose number is in brackets, with 95% intervals (Student's t) where there are several. The
# mean of the ratio is the geometric one, its interval that of the logarithms.
#
# ## What to conclude


# %% tags=["hide-input"]
def count_larger(label: str) -> str:
    """Count the parents whose value is larger for random pruning, with the p-value of a two-sided sign test."""
    larger = {name: table[f"{label}, random"] > table[f"{label}, L1"] for name, table in statistics.items()}
    return "; ".join(
        f"{name} {each.sum()} of {each.size} (p = {binomtest(int(each.sum()), each.size).pvalue:.2f})"
        for name, each in larger.items()
    )


ratios = "; ".join(f"{name} {format_cell(RATIO, table[RATIO])}" for name, table in statistics.items())
clear_networks = [name for name, table in statistics.items() if intervals.geometric_interval(table[RATIO])[1] > 1]
amounts = "; ".join(f"{name} {table['amount, L1'].mean():.0%}" for name, table in statistics.items())
Markdown(f"""
- **How much goes.** To a cosine of 0.99, L1 removes, on the mean: {amounts}. The paper says about
  {published["l1"]["amount"]:.0%}. Random removes {published["random"]["amount"]:.0%}, as it must.
- **Which one moves the surface more.** In so many parents the random prune does, with the p of a sign test:
  {count_larger("l-infinity distance (nats)")}. Its distance over L1's, on the geometric mean: {ratios}. By its interval
  that is more than one in {" and ".join(clear_networks) or "none of them"}. The paper has {published_ratio:.2f}, for
  networks and planes that it does not describe in full.
- **At the network itself**, at the same cosine, random pruning adds more to the loss than L1 in so many parents:
  {count_larger("loss increase at the centre (nats)")}. By how much is in the table.
""")

# %% [markdown]
# What to do: where no fine-tuning follows, prune the small weights, and do not take the cosine alone for a guarantee.
