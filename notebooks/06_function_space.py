# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Do similar weights say the same?
#
# Cosine similarity compares weights. What a network is for are its outputs. The paper takes the first for a proxy of
# the second: prune at a high cosine, train for one epoch, and the network is back in the region of its parent, in
# what it says as well. Its Figure 3 shows this on a map, t-SNE of the predictions on the way from the initialisation
# to the parent, with the pruned networks laid among them.
#
# Here is that map, and then what a map cannot give: numbers. How often do a prune and its parent name the same class?
# How far apart are their probabilities? How alike is the shape of their outputs? And does the cosine order all three?
#
# ```{verdicts} C3
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded networks and rows), "quick" (digits, minutes) or "tiny" (seconds)
functions: str = "functions_lenet5_mnist.npz"  # the recorded outputs that are drawn first, a file in results/
table: str = "lenet5_mnist.csv"  # the recorded sweep, a file in results/
device: str = "auto"  # device of runs in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of the maps; in preset tiny also of the networks
perplexity: float = 15.0  # t-SNE perplexity: roughly the number of neighbours per network

# %% tags=["hide-input"]
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from studies.function_space import measure as space
from studies.function_space.figure import distance_figure, map_figure
from studies.shared.sweep_figures import METHOD_LABELS, sweep_figure
from wmgp.experiments import notebook
from wmgp.experiments.data import load
from wmgp.experiments.display_names import display_name, sweep_display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.results.array_files import read_arrays
from wmgp.experiments.statistics import collapse, intervals
from wmgp.experiments.sweep.presets import grid
from wmgp.experiments.sweep.temporary_sweep import run_temporary_sweep
from wmgp.experiments.training.recipes import DIGITS_CONFIG

where = notebook.setup(preset, seed, device)
Outputs = tuple[dict[str, np.ndarray], str]  # arrays, and their description


def read_outputs(path: Path) -> tuple[str, Outputs]:
    """Return a recorded parent's name, and the outputs along its training trajectory and of its pruned networks."""
    arrays, facts = read_arrays(path)
    name = display_name(facts["network"], facts["data"], facts["start"])
    source_text = f"{name}, seed {facts['seed']}, {facts['parent_epochs']} epochs of training"
    return name, (arrays, f"{source_text}; {facts['device']} ({facts['cpu']}), {facts['date']}")


def compute_outputs() -> tuple[str, Outputs]:
    """Train and prune a network on digits; return its name and outputs."""
    training, test = load("digits", True, where), load("digits", False, where)
    tiny = preset == "tiny"
    chosen, amounts = (replace(DIGITS_CONFIG, epochs=3), (0.0, 0.5, 0.9)) if tiny else (DIGITS_CONFIG, grid(20))
    _, arrays = space.measure("lenet5", training, test, seed, chosen, amounts)
    name = display_name("lenet5", "digits")
    return name, (arrays, f"{name}, seed {seed}, {chosen.epochs} epochs; run here on {where.type}")


if preset == "default":
    first_path = tables.locate(functions)
    others = sorted(set(first_path.parent.glob("functions_*.npz")) - {first_path})
    parents = dict(read_outputs(path) for path in (first_path, *others))
    rows = tables.with_facts(tables.locate(table))
else:
    parents = dict([compute_outputs()])
    rows = run_temporary_sweep(preset, str(where), (seed,)).rows
Markdown(
    "\n".join(
        f"- {len(networks['kind'])} networks: {said}. Each is represented by its outputs on the same "
        f"{len(networks['labels'])} test images."
        for networks, said in parents.values()
    )
)

# %% [markdown]
# ## The map
#
# Every point is a network, placed by its probabilities on all the images. The line is the way of training, a dot an
# epoch. Prunes have been trained for one epoch after pruning; the shade tells how much was removed.


# %% tags=["hide-input"]
def draw_map(name: str) -> Figure:
    """Draw the map of a parent's training trajectory and its pruned networks."""
    networks, _ = parents[name]
    kinds = networks["kind"].tolist()
    points = space.tsne_embedding(networks["logits"], seed, min(perplexity, (len(kinds) - 1) / 3))
    return map_figure(points, kinds, networks["amount"], space.TRAJECTORY)


first_name, *others = parents

# %% mystnb={"image": {"alt": "Map of networks by their outputs: the way of training, and prunes of either method."}}
draw_map(first_name)

# %% mystnb={"image": {"alt": "The same map of the other network: the way of training, and prunes of either method."}}
for name in others:
    display(Markdown(f"{name}:"), draw_map(name))

# %% [markdown]
# Read them with care. t-SNE keeps neighbours together and nothing else: neither a length nor a direction on the map
# means anything, and another `seed` or `perplexity` draws another map {cite:p}`maaten2008visualizing`.
#
# ## How far from the parent
#
# The Jensen-Shannon divergence is a distance that means something: 0 where two networks give the same probabilities,
# ln 2 = 0.69 where they never agree. The way of training serves as its scale. A prune at the height of "epoch 10" is
# as far from the parent as the parent itself was after ten epochs.


# %% tags=["hide-input"]
def distances_from_parent(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the divergence from the parent of every recorded network, and of the training trajectory alone."""
    networks, _ = parents[name]
    is_trajectory = networks["kind"] == space.TRAJECTORY
    distance = space.js_divergences(networks["logits"], networks["logits"][is_trajectory][-1])
    return distance, distance[is_trajectory]


def draw_distances(name: str) -> Figure:
    """Draw the distance from a parent of its pruned networks and of some epochs of its training."""
    (networks, _), (distance, trajectory) = parents[name], distances_from_parent(name)
    marked_epochs = [0]
    for epoch in range(5, len(trajectory) - 1, 5):  # mark an epoch when the distance has halved
        if trajectory[epoch] < trajectory[marked_epochs[-1]] / 2:
            marked_epochs.append(epoch)
    prunes = networks["kind"] != space.TRAJECTORY
    kinds = networks["kind"][prunes].tolist()
    return distance_figure(
        networks["cosine"][prunes], distance[prunes], kinds, [(e, trajectory[e]) for e in marked_epochs]
    )


# %% mystnb={"image": {"alt": "Divergence of prunes from the parent against cosine, with epochs of training as marks."}}
draw_distances(first_name)

# %% mystnb={"image": {"alt": "The same of the other network: divergence against cosine, with epochs as marks."}}
for name in others:
    display(Markdown(f"{name}:"), draw_distances(name))


# %% tags=["hide-input"]
def describe_prune(name: str, method: str, amount: float) -> dict[str, str]:
    """Describe the recorded prune nearest to `amount`: cosine, distance, and the last training epoch as far away."""
    (networks, _), (distance, trajectory) = parents[name], distances_from_parent(name)
    chosen = np.flatnonzero(networks["kind"] == method)
    i = chosen[np.argmin(np.abs(networks["amount"][chosen] - amount))]
    epoch = space.equally_distant_epoch(distance[i], trajectory)
    return {
        "amount": f"{networks['amount'][i]:.0%}",
        "cosine just after pruning": f"{networks['cosine'][i]:.3f}",
        "divergence (nats)": f"{distance[i]:.4f}",
        "equally distant training epoch": f"{epoch:.1f} of {len(trajectory) - 1}",
    }


# %%
pd.DataFrame(
    {
        (name, f"{METHOD_LABELS[method]}, {(found := describe_prune(name, method, amount))['amount']}"): found
        for name in parents
        for method in space.METHODS
        for amount in (0.0, 0.5, 0.8, 0.9)
    }
).T.drop(columns="amount")

# %% [markdown]
# The rows at 0% are the parent itself after one epoch more. No prune can be expected to come closer than they do.
#
# ## Three measures, every prune of the sweep
#
# One network is an anecdote. The sweep has many, on the whole test set. *Agreement* is the share of images that both
# networks put into the same class. *Linear CKA* compares outputs up to rotation and scale
# {cite:p}`kornblith2019similarity`. Lines are means over the seeds, bands reach one standard deviation to either side.

# %% mystnb={"image": {"alt": "Agreement, divergence and CKA with the parent, against amount and against cosine."}}
sweep_figure(rows, ["amount", "cosine_pruned"], ["agreement", "js", "cka"], {"agreement": 0, "js": 0, "cka": 0})

# %% [markdown]
# ## Does the cosine order them?
#
# Spearman's rank correlation of the cosine just after pruning with each measure. 1 means that a higher cosine always
# goes with a higher value, -1 with a lower one. Once over everything, once within the prunes at a cosine of at least
# 0.9, where a practitioner would stay, and once for each method by itself. Intervals (95%) come from leaving out one
# seed at a time (the jackknife, {cite:p}`efron1993introduction`, chapter 11); fewer than five seeds have none.

# %%
format_signed = partial(formatting.format_interval, form="+.3f")
MEASURES = {"agreement": "agreement", "js": "divergence", "cka": "linear CKA", "accuracy": "accuracy"}
NEAR = 0.9
parts = {"all rows": rows, f"cosine ≥ {NEAR}": rows[rows["cosine_pruned"] >= NEAR]}
parts |= {METHOD_LABELS[name]: rows[rows["method"] == name] for name in METHOD_LABELS if name in set(rows["method"])}
correlations = {
    name: collapse.jackknife(part, lambda each: collapse.rank_correlations(each, MEASURES), (-1, 1))
    for name, part in parts.items()
}

pd.DataFrame(
    {name: {MEASURES[y]: format_signed(*found[y]) for y in MEASURES} for name, found in correlations.items()}
).T

# %% [markdown]
# A rank correlation asks for the order only. How much is left when one curve, whatever the method, has to explain the
# measure? The same share of the variance as in [the notebook before](05_cosine_not_percentage.ipynb): 0 is a perfect
# collapse.

# %%
unexplained = {
    y: collapse.jackknife(rows, lambda part, y=y: collapse.unexplained_shares(part, y), (0, 1)) for y in MEASURES
}

curve_names = {
    "amount": "variance not explained by amount",
    "cosine": "variance not explained by cosine",
    "own": "variance not explained by a separate curve for each method",
}
pd.DataFrame(
    {
        MEASURES[y]: {curve_names[x]: formatting.format_interval(*found) for x, found in unexplained[y].items()}
        for y in MEASURES
    }
).T

# %% [markdown]
# ## At the same cosine
#
# If the cosine is all that matters, then both methods say the same of the parent at the same cosine.

# %%
COSINES = (0.99, 0.95, 0.9, 0.8, 0.7)
UNITS = {"agreement": 100, "js": 1, "cka": 1}
differences = {c: {y: collapse.mean_difference(rows, c, y, unit=unit) for y, unit in UNITS.items()} for c in COSINES}
headers = {"agreement": "agreement (percentage points)", "js": "divergence (nats)", "cka": "linear CKA"}
forms = {"agreement": "+.2f", "js": "+.4f", "cka": "+.3f"}
pd.DataFrame(
    {
        f"cosine {c}": {headers[y]: formatting.format_interval(*found[y], forms[y]) for y in headers}
        for c, found in differences.items()
    }
).T

# %% [markdown]
# ## Every sweep so far
#
# The rank correlations once more, for L1 and random pruning in each sweep that was recorded with fine-tuning:
# everything, and what has a cosine of 0.9 or more. [What has been run](../book/status.md) says how many seeds and
# amounts that is; as in [the notebook before](05_cosine_not_percentage.ipynb), both methods need a handful of amounts.

# %% tags=["hide-input"]
MIN_AMOUNTS = 5 if preset == "default" else 1  # amounts per method


def has_enough_amounts(part: pd.DataFrame) -> bool:
    """Return True if L1 and random pruning have at least `MIN_AMOUNTS` amounts each."""
    return all(part.loc[part["method"] == method, "amount"].nunique() >= MIN_AMOUNTS for method in space.METHODS)


all_sweeps = tables.sweeps(tables.locate(table).parent) if preset == "default" else [("here", rows)]
compared = {
    sweep_display_name(part): part[part["method"].isin(space.METHODS)]
    for _, part in all_sweeps
    if part["epochs"].max() and has_enough_amounts(part)
}


def sweep_correlations(part: pd.DataFrame) -> dict[str, dict[str, collapse.Interval]]:
    """Return the rank correlations over all rows, and over the rows near the parent."""
    some = {"": part, f" (cosine ≥ {NEAR})": part[part["cosine_pruned"] >= NEAR]}
    return {
        head: collapse.jackknife(each, lambda found: collapse.rank_correlations(found, UNITS), (-1, 1))
        for head, each in some.items()
    }


# %%
by_sweep = {name: sweep_correlations(part) for name, part in compared.items()}
pd.DataFrame(
    {
        name: {f"{MEASURES[y]}{head}": format_signed(*each[y]) for head, each in found.items() for y in UNITS}
        for name, found in by_sweep.items()
    }
).T

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
overall, near = correlations["all rows"], correlations[f"cosine ≥ {NEAR}"]
within_methods = " and ".join(
    f"{format_signed(*correlations[METHOD_LABELS[m]]['agreement'])} for {METHOD_LABELS[m]}" for m in space.METHODS
)
clear_cosines = [c for c, found in differences.items() if found["agreement"][1] > 0]
difference_text = (
    f"L1 agrees more with the parent at {', '.join(map(str, clear_cosines))}"
    if clear_cosines
    else "no gap is clear of chance"
)


def range_of(head: str) -> str:
    """Describe the range of the rank correlation with agreement over the sweeps that have an interval."""
    values = {
        name: found[head]["agreement"][0]
        for name, found in by_sweep.items()
        if not np.isnan(found[head]["agreement"][1])
    }
    if not values:
        return "is unknown"
    lowest, highest = min(values, key=lambda name: values[name]), max(values, key=lambda name: values[name])
    return f"goes from {values[lowest]:+.3f} ({lowest}) to {values[highest]:+.3f} ({highest})"


def equivalent_epochs(name: str) -> str:
    """Describe the equally distant training epochs of a network's prunes by L1 at 80% and 90%."""
    there = [describe_prune(name, "l1", amount) for amount in (0.8, 0.9)]
    epoch_text = " and ".join(
        f"epoch {each['equally distant training epoch']} after L1 at {each['amount']}" for each in there
    )
    return f"{name}, {epoch_text}"


all_rows, near_rows = by_sweep[next(iter(by_sweep))]
Markdown(f"""
- **How well the cosine orders functions** depends on what is ordered. In {sweep_display_name(rows)}, over its whole
  range, its rank correlation with agreement is {format_signed(*overall["agreement"])}, with divergence
  {format_signed(*overall["js"])} and with CKA {format_signed(*overall["cka"])}; within one method, that with agreement
  is
  {within_methods}. Over the sweeps with {intervals.MIN_SEEDS} seeds or more, that with agreement {range_of(all_rows)}.
- **Near the parent it can say less.** Where the cosine is {NEAR} or more, the same correlations are
  {format_signed(*near["agreement"])}, {format_signed(*near["js"])} and {format_signed(*near["cka"])}, and over the
  sweeps that with agreement {range_of(near_rows)}. There an epoch of training can change the outputs as much as pruning
  does.
- **The amount says less.** One curve over the cosine leaves {unexplained["agreement"]["cosine"][0]:.1%}
  of the variance of the agreement, one over the amount {unexplained["agreement"]["amount"][0]:.1%}.
- **But the method still shows.** Where the cosine is the same, {difference_text}; at 0.9 the gap is
  {formatting.format_interval(*differences[0.9]["agreement"], forms["agreement"]) or "unknown"}\N{NO-BREAK SPACE}points.
- **How far one epoch leads back** depends on the network and the amount. A prune is then as far from its parent as that
  itself was at this epoch of its training: {"; ".join(map(equivalent_epochs, parents))}. This is one parent each, on
  {len(parents[first_name][0]["labels"])}\N{NO-BREAK SPACE}images.
""")

# %% [markdown]
# What to do: the cosine, which costs nothing, is a fair first guess of whether a pruned network will go on saying what
# its parent says. Where that matters, measure the agreement on data of your own; no labels are needed for it.
