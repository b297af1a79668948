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
# Here is that map, and then what a map cannot give: numbers. How often do the two networks name the same class? How
# far apart are their probabilities? How alike is the shape of their outputs? And does the cosine order all three?
#
# ```{verdicts} C3
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded networks and rows), "quick" (digits, minutes) or "tiny" (seconds)
functions: str = "functions_lenet5_mnist.npz"  # the recorded outputs, a file of results/
table: str = "lenet5_mnist.csv"  # the recorded sweep, a file of results/
device: str = "auto"  # of what is run here: "auto" (a GPU where there is one), "cpu", "cuda"
seed: int = 0  # of the map and of the bootstrap; at tiny, of the networks too
perplexity: float = 15.0  # of the map: how many neighbours a network keeps, roughly
draws: int = 200  # of the bootstrap

# %% tags=["hide-input"]
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from IPython.display import Markdown

from wmgp.experiments import collapse, inputs, results
from wmgp.experiments.data import load
from wmgp.experiments.files import read_arrays
from wmgp.experiments.fresh import small_sweep
from wmgp.experiments.names import called, sweep_called
from wmgp.experiments.presets import grid
from wmgp.experiments.recipes import DIGITS
from wmgp.experiments.studies import function_space as space
from wmgp.figures.functions import distance_figure, map_figure
from wmgp.figures.sweeps import METHODS, sweep_figure

where = inputs.begin(preset, seed, device)
inputs.check_whole("draws", draws, 10, 100_000)


def recorded() -> tuple[dict[str, np.ndarray], pd.DataFrame, str]:
    """The recorded networks, the rows of a sweep, and what the networks are."""
    arrays, facts = read_arrays(results.locate(functions))
    name = called(facts["network"], facts["data"], facts["start"])
    of = f"{name}, seed {facts['seed']}, {facts['parent_epochs']} epochs of training"
    return (
        arrays,
        results.with_facts(results.locate(table)),
        f"{of}; {facts['device']} ({facts['cpu']}), {facts['date']}",
    )


def computed() -> tuple[dict[str, np.ndarray], pd.DataFrame, str]:
    """Networks on digits, and a small sweep."""
    training, test = load("digits", True, where), load("digits", False, where)
    tiny = preset == "tiny"
    chosen, amounts = (replace(DIGITS, epochs=3), (0.0, 0.5, 0.9)) if tiny else (DIGITS, grid(20))
    _, arrays = space.measure("lenet5", training, test, seed, chosen, amounts)
    rows = small_sweep(preset, str(where), (seed,)).rows
    return arrays, rows, f"{called('lenet5', 'digits')}, seed {seed}, {chosen.epochs} epochs; run here on {where.type}"


networks, rows, said = recorded() if preset == "default" else computed()
kinds, labels = networks["kind"], networks["labels"]
Markdown(f"{len(kinds)} networks: {said}. Each is what it says of the same {len(labels)} test images.")

# %% [markdown]
# ## The map
#
# Every point is a network, placed by its probabilities on all the images. The line is the way of training, a dot an
# epoch. Prunes have been trained for one epoch after pruning; the shade tells how much was removed.

# %% mystnb={"image": {"alt": "Map of networks by their outputs: the way of training, and prunes of either method."}}
points = space.embedding(networks["logits"], seed, min(perplexity, (len(kinds) - 1) / 3))
map_figure(points, kinds.tolist(), networks["amount"], space.WAY)

# %% [markdown]
# Read it with care. t-SNE keeps neighbours together and nothing else: neither a length nor a direction on the map
# means anything, and another `seed` or `perplexity` draws another map {cite:p}`maaten2008visualizing`.
#
# ## How far from the parent
#
# The Jensen-Shannon divergence is a distance that means something: 0 where two networks give the same probabilities,
# ln 2 = 0.69 where they never agree. The way of training serves as its scale. A prune at the height of "epoch 10" is
# as far from the parent as the parent itself was after ten epochs.

# %% mystnb={"image": {"alt": "Divergence of prunes from the parent against cosine, with epochs of training as marks."}}
on_way = kinds == space.WAY
parent_logits = networks["logits"][on_way][-1]
far = space.divergences(networks["logits"], parent_logits)
way, epochs = far[on_way], int(on_way.sum()) - 1
marked = [0]
for epoch in range(5, epochs, 5):  # those that lie well apart
    if way[epoch] < way[marked[-1]] / 2:
        marked.append(epoch)
distance_figure(networks["cosine"][~on_way], far[~on_way], kinds[~on_way].tolist(), [(e, way[e]) for e in marked])


# %% tags=["hide-input"]
def prune_near(method: str, amount: float) -> dict[str, str]:
    """A recorded prune: its cosine, its distance, and the epoch of training that was last as far from the parent."""
    chosen = np.flatnonzero(kinds == method)
    i = chosen[np.argmin(np.abs(networks["amount"][chosen] - amount))]
    return {
        "amount": f"{networks['amount'][i]:.0%}",
        "cosine just after pruning": f"{networks['cosine'][i]:.3f}",
        "divergence (nats)": f"{far[i]:.4f}",
        "as far as epoch": f"{space.epochs_away(far[i], way):.1f} of {epochs}",
    }


# %%
pd.DataFrame(
    {
        f"{METHODS[method]}, {amount:.0%}": prune_near(method, amount)
        for method in space.METHODS
        for amount in (0.0, 0.5, 0.8, 0.9)
    }
).T

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
# 0.9, where a practitioner would stay, and once for each method by itself. Intervals (95%) come from drawing seeds
# with replacement.

# %%
signed = partial(results.worded, form="+.3f")
MEASURES = {"agreement": "agreement", "js": "divergence", "cka": "linear CKA", "accuracy": "accuracy"}
NEAR = 0.9
parts = {"all rows": rows, f"cosine {NEAR} and more": rows[rows["cosine_pruned"] >= NEAR]}
parts |= {METHODS[name]: rows[rows["method"] == name] for name in METHODS if name in set(rows["method"])}
ranks = {
    name: collapse.over_seeds(part, lambda each: collapse.ranks(each, MEASURES), seed, draws)
    for name, part in parts.items()
}

pd.DataFrame({name: {MEASURES[y]: signed(*found[y]) for y in MEASURES} for name, found in ranks.items()}).T

# %% [markdown]
# A rank correlation asks for the order only. How much is left when one curve, whatever the method, has to explain the
# measure? The same share of the variance as in [the notebook before](05_cosine_not_percentage.ipynb): 0 is a perfect
# collapse.

# %%
left = {y: collapse.over_seeds(rows, lambda part, y=y: collapse.shares(part, y), seed, draws) for y in MEASURES}

names = {"amount": "one curve over amount", "cosine": "one curve over cosine", "own": "a curve a method"}
pd.DataFrame({MEASURES[y]: {names[x]: results.worded(*found) for x, found in left[y].items()} for y in MEASURES}).T

# %% [markdown]
# ## At the same cosine
#
# If the cosine is all that matters, then both methods say the same of the parent at the same cosine.


# %% tags=["hide-input"]
def gap(y: str, cosine: float, factor: float) -> tuple[float, float, float]:
    """L1 less random at a cosine: mean and interval over the seeds; nan where rows are missing."""
    there = collapse.at_cosine(rows, (cosine,), y).pivot_table(index="seed", columns="method", values=y)
    if not {"l1", "random"} <= set(there.columns):
        return (float("nan"),) * 3
    return results.mean_interval(factor * (there["l1"] - there["random"]).dropna())


# %%
COSINES = (0.99, 0.95, 0.9, 0.8, 0.7)
gaps = {c: {y: gap(y, c, 100 if y == "agreement" else 1) for y in ("agreement", "js", "cka")} for c in COSINES}
heads = {"agreement": "agreement (points)", "js": "divergence (nats)", "cka": "linear CKA"}
forms = {"agreement": "+.2f", "js": "+.4f", "cka": "+.3f"}
pd.DataFrame(
    {f"cosine {c}": {heads[y]: results.worded(*found[y], forms[y]) for y in heads} for c, found in gaps.items()}
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


everything = results.sweeps(results.locate(table).parent) if preset == "default" else [("here", rows)]
compared = {
    sweep_called(part): part[part["method"].isin(space.METHODS)]
    for _, part in everything
    if part["epochs"].max() and enough(part)
}


def both_ranks(part: pd.DataFrame) -> dict[str, str]:
    """A row of the table below."""
    cells = {}
    for head, some in ((" ", part), (f" (cosine {NEAR} and more)", part[part["cosine_pruned"] >= NEAR])):
        found = collapse.over_seeds(some, lambda each: collapse.ranks(each, MEASURES), seed, draws)
        cells |= {f"{MEASURES[y]}{head}".strip(): signed(*found[y]) for y in ("agreement", "js", "cka")}
    return cells


# %%
pd.DataFrame({name: both_ranks(part) for name, part in compared.items()}).T

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
everywhere, near = ranks["all rows"], ranks[f"cosine {NEAR} and more"]
clear = [c for c, found in gaps.items() if found["agreement"][1] > 0]
sides = f"L1 agrees more with the parent at {', '.join(map(str, clear))}" if clear else "no gap is clear of chance"
back = prune_near("l1", 0.8)

Markdown(f"""
- **The cosine orders functions over its whole range.** Its rank correlation with agreement is
  {signed(*everywhere["agreement"])}, with divergence {signed(*everywhere["js"])} and with CKA
  {signed(*everywhere["cka"])}.
- **Near the parent it says less.** Where the cosine is {NEAR} or more, the same correlations are
  {signed(*near["agreement"])}, {signed(*near["js"])} and {signed(*near["cka"])}. There an epoch of training
  changes the outputs about as much as pruning does.
- **The amount says less.** One curve over the cosine leaves {left["agreement"]["cosine"][0]:.1%}
  of the variance of the agreement, one over the amount {left["agreement"]["amount"][0]:.1%}.
- **But the method still shows.** Where the cosine is the same, {sides}; at 0.9 the gap is
  {results.worded(*gaps[0.9]["agreement"], forms["agreement"])}\N{NO-BREAK SPACE}points.
- **One epoch leads back most of the way.** After L1 at {back["amount"]} and one epoch, the network is as far
  from its parent as that was at epoch {back["as far as epoch"]}.
""")

# %% [markdown]
# What to do: the cosine, which costs nothing, is a fair first guess of whether a pruned network will go on saying what
# its parent says. Where that matters, measure the agreement on data of your own; no labels are needed for it.
