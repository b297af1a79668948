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
functions: str = "functions_lenet5_mnist.npz"  # the recorded outputs that are drawn first, a file of results/
table: str = "lenet5_mnist.csv"  # the recorded sweep, a file of results/
device: str = "auto"  # of what is run here: "auto" (a GPU where there is one), "cpu", "cuda"
seed: int = 0  # of the maps; at tiny, of the networks too
perplexity: float = 15.0  # of the map: how many neighbours a network keeps, roughly

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
from studies.shared.sweep_figures import METHODS, sweep_figure
from wmgp.experiments import notebook
from wmgp.experiments.data import load
from wmgp.experiments.display_names import display_name, sweep_display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.results.array_files import read_arrays
from wmgp.experiments.statistics import collapse
from wmgp.experiments.sweep.presets import grid
from wmgp.experiments.sweep.temporary_sweep import small_sweep
from wmgp.experiments.training.recipes import DIGITS

where = notebook.setup(preset, seed, device)
Recorded = tuple[dict[str, np.ndarray], str]  # outputs, and what they are of


def recorded(path: Path) -> tuple[str, Recorded]:
    """The name of a recorded parent, and the outputs on its way and of its prunes."""
    arrays, facts = read_arrays(path)
    name = display_name(facts["network"], facts["data"], facts["start"])
    of = f"{name}, seed {facts['seed']}, {facts['parent_epochs']} epochs of training"
    return name, (arrays, f"{of}; {facts['device']} ({facts['cpu']}), {facts['date']}")


def computed() -> tuple[str, Recorded]:
    """Networks on digits."""
    training, test = load("digits", True, where), load("digits", False, where)
    tiny = preset == "tiny"
    chosen, amounts = (replace(DIGITS, epochs=3), (0.0, 0.5, 0.9)) if tiny else (DIGITS, grid(20))
    _, arrays = space.measure("lenet5", training, test, seed, chosen, amounts)
    name = display_name("lenet5", "digits")
    return name, (arrays, f"{name}, seed {seed}, {chosen.epochs} epochs; run here on {where.type}")


if preset == "default":
    drawn_first = tables.locate(functions)
    others = sorted(set(drawn_first.parent.glob("functions_*.npz")) - {drawn_first})
    parents = dict(recorded(path) for path in (drawn_first, *others))
    rows = tables.with_facts(tables.locate(table))
else:
    parents = dict([computed()])
    rows = small_sweep(preset, str(where), (seed,)).rows
Markdown(
    "\n".join(
        f"- {len(networks['kind'])} networks: {said}. Each is what it says of the same "
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
def mapped(name: str) -> Figure:
    """The map of a parent's way and its prunes."""
    networks, _ = parents[name]
    kinds = networks["kind"].tolist()
    points = space.embedding(networks["logits"], seed, min(perplexity, (len(kinds) - 1) / 3))
    return map_figure(points, kinds, networks["amount"], space.WAY)


drawn, *others = parents

# %% mystnb={"image": {"alt": "Map of networks by their outputs: the way of training, and prunes of either method."}}
mapped(drawn)

# %% mystnb={"image": {"alt": "The same map of the other network: the way of training, and prunes of either method."}}
for name in others:
    display(Markdown(f"{name}:"), mapped(name))

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
def away(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The divergence of every recorded network from the parent, and those on the way alone."""
    networks, _ = parents[name]
    on_way = networks["kind"] == space.WAY
    far = space.divergences(networks["logits"], networks["logits"][on_way][-1])
    return far, far[on_way]


def distances(name: str) -> Figure:
    """How far a parent's prunes are from it, and some epochs of its training."""
    (networks, _), (far, way) = parents[name], away(name)
    marked = [0]
    for epoch in range(5, len(way) - 1, 5):  # those that lie well apart
        if way[epoch] < way[marked[-1]] / 2:
            marked.append(epoch)
    prunes = networks["kind"] != space.WAY
    kinds = networks["kind"][prunes].tolist()
    return distance_figure(networks["cosine"][prunes], far[prunes], kinds, [(e, way[e]) for e in marked])


# %% mystnb={"image": {"alt": "Divergence of prunes from the parent against cosine, with epochs of training as marks."}}
distances(drawn)

# %% mystnb={"image": {"alt": "The same of the other network: divergence against cosine, with epochs as marks."}}
for name in others:
    display(Markdown(f"{name}:"), distances(name))


# %% tags=["hide-input"]
def prune_near(name: str, method: str, amount: float) -> dict[str, str]:
    """A recorded prune: its cosine, its distance, and the epoch of training that was last as far from the parent."""
    (networks, _), (far, way) = parents[name], away(name)
    chosen = np.flatnonzero(networks["kind"] == method)
    i = chosen[np.argmin(np.abs(networks["amount"][chosen] - amount))]
    return {
        "amount": f"{networks['amount'][i]:.0%}",
        "cosine just after pruning": f"{networks['cosine'][i]:.3f}",
        "divergence (nats)": f"{far[i]:.4f}",
        "as far as epoch": f"{space.epochs_away(far[i], way):.1f} of {len(way) - 1}",
    }


# %%
pd.DataFrame(
    {
        (name, f"{METHODS[method]}, {(found := prune_near(name, method, amount))['amount']}"): found
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
signed = partial(formatting.format_interval, form="+.3f")
MEASURES = {"agreement": "agreement", "js": "divergence", "cka": "linear CKA", "accuracy": "accuracy"}
NEAR = 0.9
parts = {"all rows": rows, f"cosine {NEAR} and more": rows[rows["cosine_pruned"] >= NEAR]}
parts |= {METHODS[name]: rows[rows["method"] == name] for name in METHODS if name in set(rows["method"])}
ranks = {
    name: collapse.jackknife(part, lambda each: collapse.rank_correlations(each, MEASURES), (-1, 1))
    for name, part in parts.items()
}

pd.DataFrame({name: {MEASURES[y]: signed(*found[y]) for y in MEASURES} for name, found in ranks.items()}).T

# %% [markdown]
# A rank correlation asks for the order only. How much is left when one curve, whatever the method, has to explain the
# measure? The same share of the variance as in [the notebook before](05_cosine_not_percentage.ipynb): 0 is a perfect
# collapse.

# %%
left = {y: collapse.jackknife(rows, lambda part, y=y: collapse.shares(part, y), (0, 1)) for y in MEASURES}

names = {"amount": "one curve over amount", "cosine": "one curve over cosine", "own": "a curve a method"}
pd.DataFrame(
    {MEASURES[y]: {names[x]: formatting.format_interval(*found) for x, found in left[y].items()} for y in MEASURES}
).T

# %% [markdown]
# ## At the same cosine
#
# If the cosine is all that matters, then both methods say the same of the parent at the same cosine.

# %%
COSINES = (0.99, 0.95, 0.9, 0.8, 0.7)
UNITS = {"agreement": 100, "js": 1, "cka": 1}
gaps = {c: {y: collapse.mean_difference(rows, c, y, unit=unit) for y, unit in UNITS.items()} for c in COSINES}
heads = {"agreement": "agreement (points)", "js": "divergence (nats)", "cka": "linear CKA"}
forms = {"agreement": "+.2f", "js": "+.4f", "cka": "+.3f"}
pd.DataFrame(
    {
        f"cosine {c}": {heads[y]: formatting.format_interval(*found[y], forms[y]) for y in heads}
        for c, found in gaps.items()
    }
).T

# %% [markdown]
# ## Every sweep so far
#
# The rank correlations once more, for L1 and random pruning in each sweep that was recorded with fine-tuning:
# everything, and what has a cosine of 0.9 or more. [What has been run](../book/status.md) says how many seeds and
# amounts that is; as in [the notebook before](05_cosine_not_percentage.ipynb), both methods need a handful of amounts.

# %% tags=["hide-input"]
ENOUGH = 5 if preset == "default" else 1  # amounts of either method


def enough(part: pd.DataFrame) -> bool:
    """Whether the rows have so many amounts of L1 and of random pruning."""
    return all(part.loc[part["method"] == method, "amount"].nunique() >= ENOUGH for method in space.METHODS)


everything = tables.sweeps(tables.locate(table).parent) if preset == "default" else [("here", rows)]
compared = {
    sweep_display_name(part): part[part["method"].isin(space.METHODS)]
    for _, part in everything
    if part["epochs"].max() and enough(part)
}


def among(part: pd.DataFrame) -> dict[str, dict[str, collapse.Interval]]:
    """The rank correlations over everything, and over what is near the parent."""
    some = {"": part, f" (cosine {NEAR} and more)": part[part["cosine_pruned"] >= NEAR]}
    return {
        head: collapse.jackknife(each, lambda found: collapse.rank_correlations(found, UNITS), (-1, 1))
        for head, each in some.items()
    }


# %%
every = {name: among(part) for name, part in compared.items()}
pd.DataFrame(
    {
        name: {f"{MEASURES[y]}{head}": signed(*each[y]) for head, each in found.items() for y in UNITS}
        for name, found in every.items()
    }
).T

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
everywhere, near = ranks["all rows"], ranks[f"cosine {NEAR} and more"]
alone = " and ".join(f"{signed(*ranks[METHODS[m]]['agreement'])} for {METHODS[m]}" for m in space.METHODS)
clear = [c for c, found in gaps.items() if found["agreement"][1] > 0]
sides = f"L1 agrees more with the parent at {', '.join(map(str, clear))}" if clear else "no gap is clear of chance"


def range_of(head: str) -> str:
    """From where to where the rank correlation with agreement goes over the sweeps that have an interval of it."""
    values = {
        name: found[head]["agreement"][0] for name, found in every.items() if not np.isnan(found[head]["agreement"][1])
    }
    if not values:
        return "cannot be told"
    least, most = min(values, key=lambda name: values[name]), max(values, key=lambda name: values[name])
    return f"goes from {values[least]:+.3f} ({least}) to {values[most]:+.3f} ({most})"


def led_back(name: str) -> str:
    """How far one epoch led two of a network's prunes back."""
    there = [prune_near(name, "l1", amount) for amount in (0.8, 0.9)]
    told = " and ".join(f"epoch {each['as far as epoch']} after L1 at {each['amount']}" for each in there)
    return f"{name}, {told}"


whole, close = every[next(iter(every))]
Markdown(f"""
- **How well the cosine orders functions** depends on what is ordered. In {sweep_display_name(rows)}, over its whole range,
  its rank correlation with agreement is {signed(*everywhere["agreement"])}, with divergence
  {signed(*everywhere["js"])} and with CKA {signed(*everywhere["cka"])}; within one method, that with agreement is
  {alone}. Over the sweeps with {collapse.FEWEST} seeds or more, that with agreement {range_of(whole)}.
- **Near the parent it can say less.** Where the cosine is {NEAR} or more, the same correlations are
  {signed(*near["agreement"])}, {signed(*near["js"])} and {signed(*near["cka"])}, and over the sweeps that with
  agreement {range_of(close)}. There an epoch of training can change the outputs as much as pruning does.
- **The amount says less.** One curve over the cosine leaves {left["agreement"]["cosine"][0]:.1%}
  of the variance of the agreement, one over the amount {left["agreement"]["amount"][0]:.1%}.
- **But the method still shows.** Where the cosine is the same, {sides}; at 0.9 the gap is
  {formatting.format_interval(*gaps[0.9]["agreement"], forms["agreement"]) or "unknown"}\N{NO-BREAK SPACE}points.
- **How far one epoch leads back** depends on the network and the amount. A prune is then as far from its parent as that
  itself was at this epoch of its training: {"; ".join(map(led_back, parents))}. This is one parent each, on
  {len(parents[drawn][0]["labels"])}\N{NO-BREAK SPACE}images.
""")

# %% [markdown]
# What to do: the cosine, which costs nothing, is a fair first guess of whether a pruned network will go on saying what
# its parent says. Where that matters, measure the agreement on data of your own; no labels are needed for it.
