# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Transformers, and what the pool leaves out
#
# The paper prunes convolutional networks. Its pool is every tensor that is called `weight` or `bias`. In a transformer
# {cite:p}`dosovitskiy2021image` that is not all: torch's attention keeps the projections of queries, keys and values
# in one tensor called `in_proj_weight`, which this pool never prunes, nor the class token and the positions. All of
# them count in the cosine, though.
#
# How much of a transformer does the pool miss, and what becomes of the answer when nothing is left out? Does accuracy
# follow the cosine in a transformer, as is claimed of convolutional networks? And is the optimal amount affordable?
#
# ```{verdicts} C2 C7
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded rows), "quick" (a new study on digits, two minutes) or "tiny" (seconds)
device: str = "auto"  # as in the other notebooks, but this small network is always trained on the CPU
seed: int = 0  # random seed of a tiny study
cost: float = 0.01  # allowed loss of accuracy as a fraction: 0.01 is one percentage point

# %% tags=["hide-input"]
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

import wmgp
from studies.shared.front_figures import fronts_figure
from studies.shared.sweep_figures import METHOD_LABELS, networks_figure
from studies.transformers import measure
from studies.transformers.measure import POOLS
from studies.transformers.vit import count_by_kind, parameter_kind, split_attention, vit
from wmgp.errors import InputError
from wmgp.experiments import notebook
from wmgp.experiments.display_names import display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.statistics import accuracy_cost, collapse

notebook.setup(preset, seed, device)
notebook.check_between("cost", cost, 0, 1)


def measured() -> measure.Results:
    """Return the recorded rows and parents, or those of a small study run now."""
    if preset == "default":
        return measure.read_results(tables.locate("vit_fashion_mnist.csv"))
    if preset == "quick":
        return measure.small_study(measure.QUICK, os.cpu_count() or 1)
    return measure.small_study(replace(measure.TINY, seeds=(seed,)), 1)


found = measured()
rows = found.rows
one_per_seed = rows.drop_duplicates("seed")
Markdown(
    f"{len(rows)} rows: {display_name(*rows[['network', 'data']].iloc[0])}, {len(one_per_seed)} seeds, "
    f"{rows['amount'].nunique()} amounts, L1 and random, two pools; "
    f"{', '.join(sorted(set(rows['date'])))}. Parents reach "
    f"{formatting.format_mean_range(one_per_seed['accuracy_parent'], '.1%')}."
)

# %% [markdown]
# ## What the pool has
#
# The network is a vision transformer of torchvision's, made small: patches of 7 pixels, so that an image of 28 is 16
# tokens and the class token; 48 numbers a token, three layers, four heads, an MLP of four times the width. Beside it
# the same table for ViT-B/16 as it was published.

# %%
with torch.device("meta"):  # shapes only, no values
    from torchvision.models import vit_b_16

    published = vit_b_16()
parameter_kinds = {"here": count_by_kind(vit(seed)), "ViT-B/16": count_by_kind(published)}
missed_share = {name: table.loc[~table["pooled"], "share"].sum() for name, table in parameter_kinds.items()}
both_networks = parameter_kinds["here"].merge(parameter_kinds["ViT-B/16"], on=["kind", "pooled"], suffixes=("", " B"))
pd.DataFrame(
    {
        "in the paper's pool": both_networks["pooled"].map({True: "yes", False: "no"}).to_numpy(),
        **{
            f"share, {name}": both_networks[column].map("{:.2%}".format).to_numpy()
            for name, column in (("here", "share"), ("ViT-B/16", "share B"))
        },
    },
    index=both_networks["kind"].to_list(),
)

# %% [markdown]
# ## What becomes of the answer
#
# Three ways to ask the same of the same trained weights. *As torch stores them*, in the paper's pool. *Split*, in the
# paper's pool too, but with queries, keys and values as three layers with a `weight` and a `bias` each, as other code
# stores them: what is computed is the same, only names differ. And the whole pool.

# %%
ANALYSES = {
    "as torch stores them": lambda weights: wmgp.analyze(weights),
    "split": lambda weights: wmgp.analyze(split_attention(weights)),
    "the whole pool": lambda weights: wmgp.analyze(weights, pool="all"),
}
STAGES = {"trained": found.trained, "untrained": found.untrained}
analyses_by_stage = {
    stage: {way: [analyze(weights) for weights in parents.values()] for way, analyze in ANALYSES.items()}
    for stage, parents in STAGES.items()
}


# %% tags=["hide-input"]
def summarise(analyses: list[wmgp.Analysis]) -> dict[str, str]:
    """Return a row of the table below."""
    whole = analyses[0].n_parameters
    safe = [each.safe.amount if each.safe else None for each in analyses]
    return {
        "prunable share of parameters": f"{analyses[0].n_prunable / whole:.3f}",
        "kurtosis": formatting.format_mean_range([each.kurtosis for each in analyses], ".2f"),
        "kurtosis of kurtoses": formatting.format_mean_range([each.kurtosis_of_kurtoses for each in analyses], ".2f"),
        "optimal amount": formatting.format_mean_range([each.optimal.amount for each in analyses], ".2f"),
        "optimal amount, share of all parameters": formatting.format_mean_range(
            [each.optimal.n_pruned / whole for each in analyses], ".2f"
        ),
        "cosine at the optimum": formatting.format_mean_range([each.optimal.cosine for each in analyses], ".3f"),
        "safe amount": formatting.format_mean_range(safe, ".2f"),
        "amount at cosine 0.99": formatting.format_mean_range(
            [each.at_cosine(0.99).amount for each in analyses], ".2f"
        ),
    }


# %%
pd.DataFrame(
    {(stage, way): summarise(each) for stage, ways in analyses_by_stage.items() for way, each in ways.items()}
).T

# %% mystnb={"image": {"alt": "Fronts of one parent in three pools: without attention the cosine falls less."}}
first = {way: analyses[0] for way, analyses in analyses_by_stage["trained"].items()}
fronts_figure(
    {way: (each.front.amount, each.front.cosine) for way, each in first.items()},
    {way: each.optimal for way, each in first.items()},
)

# %% [markdown]
# What cannot be pruned holds the cosine up: where everything in the paper's pool is gone, the front still does not
# reach zero.
#
# And where does the optimal prune take its weights? Of each kind of parameter, its share of the energy (the sum of
# squares, which the cosine is made of), and the share of its values that is pruned; all parents together.


# %% tags=["hide-input"]
def by_kind(analyses: list[wmgp.Analysis]) -> pd.DataFrame:
    """Return, by kind of parameter, its share of the energy and the pruned share of its values at the optimum."""
    tensors = pd.concat([each.tensors for each in analyses])
    summed = tensors.groupby(tensors["name"].map(parameter_kind))[["energy", "pruned_at_optimal", "n"]].sum()
    energy, pruned_share = summed["energy"] / summed["energy"].sum(), summed["pruned_at_optimal"] / summed["n"]
    return pd.DataFrame({"energy": energy, "gone": pruned_share}).loc[parameter_kinds["here"]["kind"]]


# %%
WAY_OF_POOL = {"weight_bias": "as torch stores them", "all": "the whole pool"}  # pool -> way
kinds_by_pool = {pool: by_kind(analyses_by_stage["trained"][way]) for pool, way in WAY_OF_POOL.items()}
pd.DataFrame(
    {"share of the energy": kinds_by_pool["all"]["energy"]}
    | {f"pruned, {POOLS[pool]}": kinds_by_pool[pool]["gone"] for pool in WAY_OF_POOL}
).map("{:.1%}".format).rename_axis(None)

# %% [markdown]
# ## Does accuracy follow the cosine?
#
# Each parent was pruned by L1 and at random, in either pool, and fine-tuned for an epoch by the paper's recipe, with
# what was pruned held at zero. Lines are means over the seeds, bands reach one standard deviation to either side.

# %% mystnb={"image": {"alt": "Accuracy after fine-tuning against amount and cosine, a line of panels for each pool."}}
parts = {name: rows[rows["pool"] == pool] for pool, name in POOLS.items()}
AXES = ["amount", "cosine_pruned"]
networks_figure(parts, AXES, "accuracy")

# %% mystnb={"image": {"alt": "Accuracy just after pruning against amount and cosine, a line of panels for each pool."}}
networks_figure(parts, AXES, "accuracy_pruned")

# %% [markdown]
# How much of the variance of the accuracy does one curve leave unexplained, whatever the method?
# [The fifth notebook](05_cosine_not_percentage.ipynb) says how that is found. Then how far two ways to prune lie apart
# where the cosine is the same, in points, from the seeds that have measured cosines near it on both sides. Intervals
# are of 95%; fewer than five seeds have none.

# %% tags=["hide-input"]
Y = {"accuracy": "after fine-tuning", "accuracy_pruned": "just after pruning"}
COSINES = (0.99, 0.95, 0.9)
method_and_pool = rows.assign(method=rows["method"] + " " + rows["pool"])  # two methods in two pools
row_sets = {**parts, "both pools": method_and_pool}
unexplained = {
    (name, y): collapse.jackknife(part, lambda part, y=y: collapse.unexplained_shares(part, y), (0, 1))
    for name, part in row_sets.items()
    for y in Y
}
PAIRS = {
    **{f"L1 − random, {name}": (f"l1 {pool}", f"random {pool}") for pool, name in POOLS.items()},
    **{f"{METHOD_LABELS[method]}, the paper's pool − the whole pool": (f"{method} weight_bias", f"{method} all")
       for method in ("l1", "random")},
}  # fmt: skip
curves = {
    "amount": "variance not explained by amount",
    "cosine": "variance not explained by cosine",
    "own": "variance not explained by a separate curve for each method",
}

# %%
pd.DataFrame(
    {
        (name, when): {curves[x]: formatting.format_interval(*unexplained[name, y][x]) for x in curves}
        for name in row_sets
        for y, when in Y.items()
    }
).T

# %%
pd.DataFrame(
    {
        (name, when): {
            f"cosine {c}": collapse.format_mean_difference(method_and_pool, c, "+.1f", y, pair) for c in COSINES
        }
        for name, pair in PAIRS.items()
        for y, when in Y.items()
    }
).T

# %% [markdown]
# ## At the same share of the network
#
# An amount is a share of a pool, so equal amounts of the two pools are not equal prunes. Here is the accuracy of L1
# where the same share of *all* parameters is gone, linear between the measured amounts; means over the seeds.

# %% tags=["hide-input"]
SHARES = (0.2, 0.4, 0.5, 0.6, 0.7)
l1 = rows[rows["method"] == "l1"].sort_values("share")


def at_share(pool: str, share: float, y: str) -> np.ndarray:
    """Return `y` of each seed where this share of all parameters is pruned; nan outside the measured amounts."""
    each = [part for _, part in l1[l1["pool"] == pool].groupby("seed")]
    return np.array([np.interp(share, part["share"], part[y], right=np.nan) for part in each])


# %%
pd.DataFrame(
    {
        f"{share:.0%} of all": {
            f"{name}, {when}": formatting.format_interval(at_share(pool, share, y).mean(), np.nan, np.nan, ".1%")
            for pool, name in POOLS.items()
            for y, when in Y.items()
        }
        for share in SHARES
    }
).T

# %% [markdown]
# ## Is the optimal amount affordable?
#
# What L1 at the optimal amount costs in accuracy, and the largest amount of each pool that costs no more than
# allowed.


# %% tags=["hide-input"]
def affordability(pool: str, way: str) -> dict[str, list[float]]:
    """Return, for each parent, the accuracy lost at the pool's optimal amount and the largest amount within `cost`."""
    by_seed = [part for _, part in l1[l1["pool"] == pool].groupby("seed")]
    best = [each.optimal.amount for each in analyses_by_stage["trained"][way]]
    losses = {
        y: [100 * float(accuracy_cost.cost_at(part, [a], y)[0]) for part, a in zip(by_seed, best, strict=True)]
        for y in Y
    }
    return {
        "optimal amount": best,
        **{f"accuracy lost at the optimum, {Y[y]} (percentage points)": losses[y] for y in Y},
        **{
            f"largest amount within the cost, {Y[y]}": [accuracy_cost.largest_amount(part, cost, y) for part in by_seed]
            for y in Y
        },
    }


# %%
affordable = {POOLS[pool]: affordability(pool, way) for pool, way in WAY_OF_POOL.items()}
pd.DataFrame(
    {
        name: {what: formatting.format_mean_range(v, ".2f") for what, v in each.items()}
        for name, each in affordable.items()
    }
)

# %% [markdown]
# ## A network that is in use
#
# MiniLM {cite:p}`wang2020minilm` is an encoder of the BERT family, here as a Python package ships it. Its code keeps
# queries, keys and values in three layers, so the paper's pool has them all, and the table of word vectors too, which
# is a `weight` as well. Beside both pools stand the tensors of two dimensions or more: first with the rest of the
# network in the cosine, then by themselves.


# %% tags=["hide-input"]
def encoder() -> pd.DataFrame | str:
    """Return the recorded rows of MiniLM, or a sentence that explains why there are none."""
    if preset != "default":
        return "Shown only in preset `default`, from recorded results."
    try:
        zoo = pd.read_csv(tables.locate("zoo.csv"))
    except InputError:
        return "Not recorded: `results/zoo.csv` is missing."
    minilm_rows = zoo[zoo["name"].str.contains("MiniLM", case=False)]
    return minilm_rows if len(minilm_rows) else "Not recorded: `results/zoo.csv` has no row of MiniLM."


COLUMNS = {
    "paper": "the paper's pool",
    "all": "the whole pool",
    "weights": "tensors of two dimensions or more",
    "weights alone": "only these tensors",
}
ROWS = {
    "n_parameters": ("parameters", ",.0f"),
    "share": ("prunable share of parameters", ".3f"),
    "kurtosis": ("kurtosis", ".1f"),
    "k2": ("kurtosis of kurtoses", ".1f"),
    "optimal": ("optimal amount", ".2f"),
    "optimal_cosine": ("cosine at the optimum", ".3f"),
    "safe": ("safe amount", ".2f"),
    "at_099": ("amount at cosine 0.99", ".2f"),
}
minilm = encoder()
if isinstance(minilm, str):
    display(Markdown(minilm))
else:
    cells = minilm.assign(share=minilm["n_prunable"] / minilm["n_parameters"]).set_index("pool").to_dict("index")
    shown = {
        words: {row: format(cells[pool][name], form) for name, (row, form) in ROWS.items()}
        for pool, words in COLUMNS.items()
    }
    package, version, licence, sha256 = minilm[["package", "version", "licence", "file_sha256"]].iloc[0]
    origin = f"The weights are those of {package} {version} ({licence}). The SHA-256 of their file is `{sha256[:16]}…`."
    display(pd.DataFrame(shown), Markdown(origin))

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
mean_optimal = {
    way: np.mean([each.optimal.amount for each in analyses]) for way, analyses in analyses_by_stage["trained"].items()
}
lowest_cosine = np.mean([each.front.cosine[-1] for each in analyses_by_stage["trained"]["as torch stores them"]])
untrained = np.mean([each.optimal.amount for each in analyses_by_stage["untrained"]["the whole pool"]])
norm_shares = (
    parameter_kinds["here"].set_index("kind").loc["layer norms", "share"],
    kinds_by_pool["all"].loc["layer norms", "energy"],
)


def describe_collapse(y: str) -> str:
    """Describe in which pools the cosine explains more than the amount, and the unexplained shares."""
    closer = [name for name in parts if unexplained[name, y]["cosine"][0] < unexplained[name, y]["amount"][0]]
    which = {0: "in neither pool", 1: f"in {' '.join(closer)} only", 2: "in both pools"}[len(closer)]
    ones = {name: [f"{unexplained[name, y][x][0]:.1%}" for x in curves] for name in row_sets}
    cells = (f"  - {name}: {amount}, {cosine} and {own}" for name, (amount, cosine, own) in ones.items())
    return "\n".join([f"better than the amount {which}. Left unexplained:", *cells])


def describe_cost(name: str) -> str:
    """Describe the accuracy lost at the optimal amount of a pool, and for how many parents it is within `cost`."""
    untuned, tuned = (
        np.array(affordable[name][f"accuracy lost at the optimum, {when} (percentage points)"])
        for when in reversed(Y.values())
    )
    allowed = f"at most {cost:.1%} for {(tuned <= 100 * cost).sum()} of {len(tuned)} parents"
    costs = f"{untuned.mean():.1f}\N{NO-BREAK SPACE}points at once and {tuned.mean():.1f} after fine-tuning"
    return f"in {name} {costs} ({allowed})"


accuracy_at_share = {pool: at_share(pool, SHARES[-1], "accuracy").mean() for pool in POOLS}
accuracy_at_share = {
    pool: "an unknown accuracy" if np.isnan(value) else f"{value:.1%}" for pool, value in accuracy_at_share.items()
}
Markdown(f"""
- **The paper's pool misses** {missed_share["here"]:.0%} of this transformer and {missed_share["ViT-B/16"]:.0%} of
  ViT-B/16, nearly all of it queries, keys and values. Stored in three layers, the same numbers are in the pool. So what
  may be pruned hangs on how the code names its tensors.
- **The answer** is an optimal amount of {mean_optimal["as torch stores them"]:.2f} as torch stores the weights,
  {mean_optimal["split"]:.2f} split, and {mean_optimal["the whole pool"]:.2f} for the whole pool. With all of the
  paper's pool gone the cosine is still {lowest_cosine:.2f}, for what is not in it counts. Of the untrained networks the
  rule would prune {untrained:.2f}, of the whole pool.
- **Layer norms** are {norm_shares[0]:.1%} of the parameters and {norm_shares[1]:.0%} of the energy: their weights begin
  at one, and the cosine looks at them first.
- **After fine-tuning accuracy follows the cosine** {describe_collapse("accuracy")}
- **Just after pruning** it does so {describe_collapse("accuracy_pruned")}

  These are shares of the variance, of one curve over the amount, one over the cosine, and a curve a method.
- **At the same share of the network**, {SHARES[-1]:.0%}, L1 in the paper's pool leaves
  {accuracy_at_share["weight_bias"]} after fine-tuning and in the whole pool {accuracy_at_share["all"]}.
- **Is the optimal amount affordable?** L1 at that amount costs {"; ".join(map(describe_cost, affordable))}.
""")

# %% [markdown]
# What to do: with a transformer, look first at what share of it is in the pool (`n_prunable` over `n_parameters`).
# Where attention is fused, use `pool="all"`, or a pool of your own, and compare prunes by the share of the whole
# network that is gone.
