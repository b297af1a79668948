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
device: str = "auto"  # as for the other notebooks; a network this small is trained on the CPU in any case
seed: int = 0  # of a tiny study
cost: float = 0.01  # how much accuracy may be lost, as a share: 0.01 is one percentage point

# %% tags=["hide-input"]
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

import wmgp
from studies.shared.fronts import fronts_figure
from studies.shared.sweep_figures import METHODS, networks_figure
from studies.transformers import measure
from studies.transformers.measure import POOLS
from studies.transformers.vit import kind, kinds, split, vit
from wmgp.errors import InputError
from wmgp.experiments import notebook
from wmgp.experiments.display_names import display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.statistics import accuracy_cost, collapse

notebook.setup(preset, seed, device)
notebook.check_between("cost", cost, 0, 1)


def measured() -> measure.Measured:
    """The recorded rows and parents, or those of a study run now."""
    if preset == "default":
        return measure.measured(tables.locate("vit_fashion_mnist.csv"))
    if preset == "quick":
        return measure.small(measure.QUICK, os.cpu_count() or 1)
    return measure.small(replace(measure.TINY, seeds=(seed,)), 1)


found = measured()
rows = found.rows
once = rows.drop_duplicates("seed")
Markdown(
    f"{len(rows)} rows: {display_name(*rows[['network', 'data']].iloc[0])}, {len(once)} seeds, {rows['amount'].nunique()} "
    f"amounts, L1 and random, two pools; {', '.join(sorted(set(rows['date'])))}. Parents reach "
    f"{formatting.format_mean_range(once['accuracy_parent'], '.1%')}."
)

# %% [markdown]
# ## What the pool has
#
# The network is a vision transformer of torchvision's, made small: patches of 7 pixels, so that an image of 28 is 16
# tokens and the class token; 48 numbers a token, three layers, four heads, an MLP of four times the width. Beside it
# the same table for ViT-B/16 as it was published.

# %%
with torch.device("meta"):  # shapes alone, no values
    from torchvision.models import vit_b_16

    published = vit_b_16()
tables = {"here": kinds(vit(seed)), "ViT-B/16": kinds(published)}
missed = {name: table.loc[~table["pooled"], "share"].sum() for name, table in tables.items()}
both = tables["here"].merge(tables["ViT-B/16"], on=["kind", "pooled"], suffixes=("", " B"))
pd.DataFrame(
    {
        "in the paper's pool": both["pooled"].map({True: "yes", False: "no"}).to_numpy(),
        **{
            f"share, {name}": both[column].map("{:.2%}".format).to_numpy()
            for name, column in (("here", "share"), ("ViT-B/16", "share B"))
        },
    },
    index=both["kind"].to_list(),
)

# %% [markdown]
# ## What becomes of the answer
#
# Three ways to ask the same of the same trained weights. *As torch stores them*, in the paper's pool. *Split*, in the
# paper's pool too, but with queries, keys and values as three layers with a `weight` and a `bias` each, as other code
# stores them: what is computed is the same, only names differ. And the whole pool.

# %%
WAYS = {
    "as torch stores them": lambda weights: wmgp.analyze(weights),
    "split": lambda weights: wmgp.analyze(split(weights)),
    "the whole pool": lambda weights: wmgp.analyze(weights, pool="all"),
}
STAGES = {"trained": found.trained, "untrained": found.untrained}
said = {
    stage: {way: [ask(weights) for weights in parents.values()] for way, ask in WAYS.items()}
    for stage, parents in STAGES.items()
}


# %% tags=["hide-input"]
def told(analyses: list[wmgp.Analysis]) -> dict[str, str]:
    """A row of the table below."""
    whole = analyses[0].n_parameters
    safe = [each.safe.amount if each.safe else None for each in analyses]
    return {
        "pool, share of all": f"{analyses[0].n_prunable / whole:.3f}",
        "kurtosis": formatting.format_mean_range([each.kurtosis for each in analyses], ".2f"),
        "kurtosis of kurtoses": formatting.format_mean_range([each.kurtosis_of_kurtoses for each in analyses], ".2f"),
        "optimal amount": formatting.format_mean_range([each.optimal.amount for each in analyses], ".2f"),
        "optimal, share of all": formatting.format_mean_range(
            [each.optimal.n_pruned / whole for each in analyses], ".2f"
        ),
        "cosine there": formatting.format_mean_range([each.optimal.cosine for each in analyses], ".3f"),
        "safe amount": formatting.format_mean_range(safe, ".2f"),
        "amount at cosine 0.99": formatting.format_mean_range(
            [each.at_cosine(0.99).amount for each in analyses], ".2f"
        ),
    }


# %%
pd.DataFrame({(stage, way): told(each) for stage, ways in said.items() for way, each in ways.items()}).T

# %% mystnb={"image": {"alt": "Fronts of one parent in three pools: without attention the cosine falls less."}}
first = {way: analyses[0] for way, analyses in said["trained"].items()}
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
def places(analyses: list[wmgp.Analysis]) -> pd.DataFrame:
    """By kind of parameter: its share of the energy, and the share of its values that the optimal prune takes."""
    tensors = pd.concat([each.tensors for each in analyses])
    summed = tensors.groupby(tensors["name"].map(kind))[["energy", "pruned_at_optimal", "n"]].sum()
    energy, gone = summed["energy"] / summed["energy"].sum(), summed["pruned_at_optimal"] / summed["n"]
    return pd.DataFrame({"energy": energy, "gone": gone}).loc[tables["here"]["kind"]]


# %%
ASKED = {"weight_bias": "as torch stores them", "all": "the whole pool"}  # pool -> way
where = {pool: places(said["trained"][way]) for pool, way in ASKED.items()}
pd.DataFrame(
    {"share of the energy": where["all"]["energy"]} | {f"pruned, {POOLS[pool]}": where[pool]["gone"] for pool in ASKED}
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
either = rows.assign(method=rows["method"] + " " + rows["pool"])  # four ways to prune
asked = {**parts, "both pools": either}
left = {
    (name, y): collapse.jackknife(part, lambda part, y=y: collapse.shares(part, y), (0, 1))
    for name, part in asked.items()
    for y in Y
}
PAIRS = {
    **{f"L1 less random, {name}": (f"l1 {pool}", f"random {pool}") for pool, name in POOLS.items()},
    **{f"{METHODS[method]}, the paper's pool less the whole pool": (f"{method} weight_bias", f"{method} all")
       for method in ("l1", "random")},
}  # fmt: skip
curves = {"amount": "one curve over amount", "cosine": "one curve over cosine", "own": "a curve a method"}

# %%
pd.DataFrame(
    {
        (name, when): {curves[x]: formatting.format_interval(*left[name, y][x]) for x in curves}
        for name in asked
        for y, when in Y.items()
    }
).T

# %%
pd.DataFrame(
    {
        (name, when): {f"cosine {c}": collapse.format_mean_difference(either, c, "+.1f", y, pair) for c in COSINES}
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
    """What each seed has where this share of all parameters is pruned; nan beyond what was measured."""
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
def afforded(pool: str, way: str) -> dict[str, list[float]]:
    """What pruning a pool at its optimum costs each parent, in points, and the most that it could lose."""
    mine = [part for _, part in l1[l1["pool"] == pool].groupby("seed")]
    best = [each.optimal.amount for each in said["trained"][way]]
    lost = {
        y: [100 * float(accuracy_cost.cost_at(part, [a], y)[0]) for part, a in zip(mine, best, strict=True)] for y in Y
    }
    return {
        "optimal amount": best,
        **{f"lost there, {Y[y]} (points)": lost[y] for y in Y},
        **{f"most within the cost, {Y[y]}": [accuracy_cost.largest_amount(part, cost, y) for part in mine] for y in Y},
    }


# %%
affordable = {POOLS[pool]: afforded(pool, way) for pool, way in ASKED.items()}
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
    """The recorded rows of MiniLM, or why there are none."""
    if preset != "default":
        return "Read from what is recorded, with the preset `default` only."
    try:
        zoo = pd.read_csv(tables.locate("zoo.csv"))
    except InputError:
        return "Not recorded here: there is no `results/zoo.csv`."
    mine = zoo[zoo["name"].str.contains("MiniLM", case=False)]
    return mine if len(mine) else "Not recorded here: `results/zoo.csv` has no row of it."


COLUMNS = {
    "paper": "the paper's pool",
    "all": "the whole pool",
    "weights": "tensors of two dimensions or more",
    "weights alone": "these tensors by themselves",
}
ROWS = {
    "n_parameters": ("parameters", ",.0f"),
    "share": ("pool, share of all", ".3f"),
    "kurtosis": ("kurtosis", ".1f"),
    "k2": ("kurtosis of kurtoses", ".1f"),
    "optimal": ("optimal amount", ".2f"),
    "optimal_cosine": ("cosine there", ".3f"),
    "safe": ("safe amount", ".2f"),
    "at_099": ("amount at cosine 0.99", ".2f"),
}
real = encoder()
if isinstance(real, str):
    display(Markdown(real))
else:
    cells = real.assign(share=real["n_prunable"] / real["n_parameters"]).set_index("pool").to_dict("index")
    shown = {
        words: {row: format(cells[pool][name], form) for name, (row, form) in ROWS.items()}
        for pool, words in COLUMNS.items()
    }
    package, version, licence, sha256 = real[["package", "version", "licence", "file_sha256"]].iloc[0]
    origin = f"The weights are those of {package} {version} ({licence}). The SHA-256 of their file is `{sha256[:16]}…`."
    display(pd.DataFrame(shown), Markdown(origin))

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
mean = {way: np.mean([each.optimal.amount for each in analyses]) for way, analyses in said["trained"].items()}
least = np.mean([each.front.cosine[-1] for each in said["trained"]["as torch stores them"]])
untrained = np.mean([each.optimal.amount for each in said["untrained"]["the whole pool"]])
norms = tables["here"].set_index("kind").loc["layer norms", "share"], where["all"].loc["layer norms", "energy"]


def followed(y: str) -> str:
    """In which pools the cosine explains more than the amount, and by how much."""
    closer = [name for name in parts if left[name, y]["cosine"][0] < left[name, y]["amount"][0]]
    which = {0: "in neither pool", 1: f"in {' '.join(closer)} only", 2: "in both pools"}[len(closer)]
    ones = {name: [f"{left[name, y][x][0]:.1%}" for x in curves] for name in asked}
    cells = (f"  - {name}: {amount}, {cosine} and {own}" for name, (amount, cosine, own) in ones.items())
    return "\n".join([f"better than the amount {which}. Left unexplained:", *cells])


def price(name: str) -> str:
    """What the optimal amount of a pool costs, and for how many parents that is allowed."""
    bare, tuned = (np.array(affordable[name][f"lost there, {when} (points)"]) for when in reversed(Y.values()))
    allowed = f"at most {cost:.1%} for {(tuned <= 100 * cost).sum()} of {len(tuned)} parents"
    costs = f"{bare.mean():.1f}\N{NO-BREAK SPACE}points at once and {tuned.mean():.1f} after fine-tuning"
    return f"in {name} {costs} ({allowed})"


kept = {pool: at_share(pool, SHARES[-1], "accuracy").mean() for pool in POOLS}
kept = {pool: "an unknown accuracy" if np.isnan(value) else f"{value:.1%}" for pool, value in kept.items()}
Markdown(f"""
- **The paper's pool misses** {missed["here"]:.0%} of this transformer and {missed["ViT-B/16"]:.0%} of ViT-B/16, nearly
  all of it queries, keys and values. Stored in three layers, the same numbers are in the pool. So what may be pruned
  hangs on how the code names its tensors.
- **The answer** is an optimal amount of {mean["as torch stores them"]:.2f} as torch stores the weights,
  {mean["split"]:.2f} split, and {mean["the whole pool"]:.2f} for the whole pool. With all of the paper's pool gone the
  cosine is still {least:.2f}, for what is not in it counts. Of the untrained networks the rule would prune
  {untrained:.2f}, of the whole pool.
- **Layer norms** are {norms[0]:.1%} of the parameters and {norms[1]:.0%} of the energy: their weights begin at
  one, and the cosine looks at them first.
- **After fine-tuning accuracy follows the cosine** {followed("accuracy")}
- **Just after pruning** it does so {followed("accuracy_pruned")}

  These are shares of the variance, of one curve over the amount, one over the cosine, and a curve a method.
- **At the same share of the network**, {SHARES[-1]:.0%}, L1 in the paper's pool leaves {kept["weight_bias"]} after
  fine-tuning and in the whole pool {kept["all"]}.
- **Is the optimal amount affordable?** L1 at that amount costs {"; ".join(map(price, affordable))}.
""")

# %% [markdown]
# What to do: with a transformer, look first at what share of it is in the pool (`n_prunable` over `n_parameters`).
# Where attention is fused, use `pool="all"`, or a pool of your own, and compare prunes by the share of the whole
# network that is gone.
