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
record: str = "landscape_lenet5_mnist.npz"  # the recorded surfaces that are drawn, a file of results/
device: str = "auto"  # of what is computed here: "auto" (a GPU where there is one), "cpu", "cuda"
seed: int = 0  # of the recorded network that is drawn; at the other presets, of all that chance decides

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
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.results.array_files import read_arrays
from wmgp.experiments.statistics import intervals
from wmgp.experiments.training.parents import parent
from wmgp.experiments.training.recipes import DIGITS

where = notebook.setup(preset, seed, device)
LABELS = {"parent": "parent", "l1": "L1", "random": "random"}


def recorded(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The recorded arrays, and what they are of."""
    arrays, facts = read_arrays(path)
    return arrays, facts | {"name": display_name(facts["network"], facts["data"], facts.get("start", "scratch"))}


def computed() -> tuple[dict[str, np.ndarray], dict]:
    """The surfaces of one network on digits, coarse: trained in full, or at tiny for one epoch."""
    test, config = load("digits", False, where), DIGITS
    points, images = (31, 15), len(test)
    if preset == "tiny":
        config, points, images = replace(DIGITS, epochs=1), (7, 5), 50
    trained = parent("lenet5", load("digits", True, where), seed, config.epochs, config.recipe)
    ticks = {"line_ticks": np.linspace(0, 1.5, points[0]), "plane_ticks": np.linspace(-1, 1, points[1])}
    start = models.build("lenet5", seed).to(where)
    found = measure.measure(trained, start, test.first(images), seed, *ticks.values())
    arrays = {"seeds": np.array([seed]), **ticks, **{name: array[None] for name, array in found.items()}}
    here = {
        "name": display_name("lenet5", "digits"),
        "images": images,
        "device": where.type,
        "cpu": "here",
        "date": "now",
    }
    return arrays, here


surfaces, facts = recorded(tables.locate(record)) if preset == "default" else computed()
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
published = json.loads(tables.locate("published.json").read_text())["landscape"]
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
lines = {LABELS[name]: surfaces["line"][:, i] for i, name in enumerate(measure.NETWORKS)}
lines_figure(surfaces["line_ticks"], lines, ("initialisation", "network"))

# %% [markdown]
# ## Around the network
#
# Two random directions, each filter as long as the network's own, span a plane {cite:p}`li2018visualizing`. The parent
# lies at the centre of the first, its prunes at the centres of the others. Directions and shades are the same in all
# three.

# %% mystnb={"image": {"alt": "Loss on the same plane around parent, L1 prune and random prune, in shades."}}
chosen = surfaces["seeds"].tolist().index(seed)
planes = {LABELS[name]: surfaces["plane"][chosen, i] for i, name in enumerate(measure.NETWORKS)}
planes_figure(surfaces["plane_ticks"], planes)

# %% [markdown]
# ## How far apart they are
#
# The l-infinity distance is the largest difference between the parent's surface and the pruned network's. It lies where
# the loss is large, usually at a corner of the plane, so its size says as much of the plane's size as of the pruning.
# The ratio of both distances is the fairer number. The difference at the centre is what pruning does to the network
# itself.

# %% tags=["hide-input"]
PRUNED = {"l1": 1, "random": 2}  # their places in the arrays
RATIO = "random / L1"
theirs = {name: published[name]["l_infinity_distance"] for name in PRUNED}
their_ratio = theirs["random"] / theirs["l1"]


def measures(surfaces: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a row of the table below averages: a value a parent."""
    far = {name: [measure.distance(each[0], each[i]) for each in surfaces["plane"]] for name, i in PRUNED.items()}
    middle = len(surfaces["plane_ticks"]) // 2
    at_centre = surfaces["plane"][:, :, middle, middle]  # [seeds, networks]
    return {
        "amount, L1": surfaces["amount"][:, 1],
        "l-infinity distance (nats), L1": np.array(far["l1"]),
        "l-infinity distance (nats), random": np.array(far["random"]),
        RATIO: np.array(far["random"]) / np.array(far["l1"]),
        "loss added at the centre (nats), L1": at_centre[:, 1] - at_centre[:, 0],
        "loss added at the centre (nats), random": at_centre[:, 2] - at_centre[:, 0],
    }


def told(what: str, values: np.ndarray) -> str:
    """A cell of the table below."""
    if what == RATIO:
        return formatting.format_interval(*intervals.geometric_interval(values), ".2f")
    form = ".3f" if what.startswith("amount") else ".4f" if what.startswith("loss") else ".2f"
    return formatting.format_interval(*intervals.mean_interval(values), form)


# %%
others = sorted(tables.locate(record).parent.glob("landscape_*.npz")) if preset == "default" else []
every = [recorded(path) for path in others] or [(surfaces, facts)]
tables = {said["name"]: measures(arrays) for arrays, said in every}
columns = {
    f"{name} ({len(table[RATIO])})": {what: told(what, values) for what, values in table.items()}
    for name, table in tables.items()
}
their_amount = f"about {published['l1']['amount']}"
of_paper = [their_amount, f"{theirs['l1']}", f"{theirs['random']}", f"{their_ratio:.2f}", "", ""]
pd.DataFrame({**columns, "published": dict(zip(next(iter(columns.values())), of_paper, strict=True))})

# %% [markdown]
# Means over the parents, whose number is in brackets, with 95% intervals (Student's t) where there are several. The
# mean of the ratio is the geometric one, its interval that of the logarithms.
#
# ## What to conclude


# %% tags=["hide-input"]
def counted(what: str) -> str:
    """In how many parents of each network it is larger under random pruning, with the p of a two-sided sign test."""
    larger = {name: table[f"{what}, random"] > table[f"{what}, L1"] for name, table in tables.items()}
    return "; ".join(
        f"{name} {each.sum()} of {each.size} (p = {binomtest(int(each.sum()), each.size).pvalue:.2f})"
        for name, each in larger.items()
    )


ratios = "; ".join(f"{name} {told(RATIO, table[RATIO])}" for name, table in tables.items())
sure = [name for name, table in tables.items() if intervals.geometric_interval(table[RATIO])[1] > 1]
amounts = "; ".join(f"{name} {table['amount, L1'].mean():.0%}" for name, table in tables.items())
Markdown(f"""
- **How much goes.** To a cosine of 0.99, L1 removes, on the mean: {amounts}. The paper says about
  {published["l1"]["amount"]:.0%}. Random removes {published["random"]["amount"]:.0%}, as it must.
- **Which one moves the surface more.** In so many parents the random prune does, with the p of a sign test:
  {counted("l-infinity distance (nats)")}. Its distance over L1's, on the geometric mean: {ratios}. By its interval that
  is more than one in {" and ".join(sure) or "none of them"}. The paper has {their_ratio:.2f}, for networks and planes
  that it does not describe in full.
- **At the network itself**, at the same cosine, random pruning adds more to the loss than L1 in so many parents:
  {counted("loss added at the centre (nats)")}. By how much is in the table.
""")

# %% [markdown]
# What to do: where no fine-tuning follows, prune the small weights, and do not take the cosine alone for a guarantee.
