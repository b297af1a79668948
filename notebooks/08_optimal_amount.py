# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is the optimal amount the right one?
#
# Three claims of the paper meet here. The point of the front nearest to utopia is *the most to prune* (its Figures 7
# and 8). A network cannot be pruned at its initialisation, for there the kurtosis of its weights is low and the
# cosine falls early. And the higher the kurtosis, the more can be pruned.
#
# All three are about weights alone. Whether they are right, accuracy has to say. So here are the fronts of the
# networks trained for this book and of their initialisations, and next to them what happened to those that were
# pruned in a sweep.
#
# ```{verdicts} C5 C6 C7
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded parents and rows), "quick" (digits, two minutes) or "tiny" (seconds)
table: str = "lenet5_mnist.csv"  # the recorded sweep, a file in results/
device: str = "auto"  # device of runs in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of a tiny sweep
cost: float = 0.01  # allowed loss of accuracy as a fraction: 0.01 is one percentage point

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
from IPython.display import Markdown

from studies.optimal_amount.figure import amounts_figure, fronts_figure, neighbours_figure
from wmgp.experiments import notebook
from wmgp.experiments.display_names import display_name, sweep_display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.statistics import accuracy_cost, intervals, rank_correlation
from wmgp.experiments.statistics.kurtosis_definitions import DEFINITIONS, POOLED
from wmgp.experiments.sweep.temporary_sweep import run_temporary_sweep
from wmgp.experiments.training import history

where = notebook.setup(preset, seed, device)
notebook.check_between("cost", cost, 0, 1)


def measured() -> tuple[list[dict], pd.DataFrame]:
    """Return the records of parents, and the rows of a sweep with the hash of their parent's weights."""
    if preset == "default":
        path = tables.locate(table)
        return history.read_parent_records(path.parent / "parents"), tables.with_facts(path)
    found = run_temporary_sweep(preset, str(where), (seed, seed + 1))
    return found.parents, found.rows


parents, rows = measured()
families: dict[str, list[dict]] = {}
scratch = [record for record in parents if record["start"] == "scratch"]  # only these have a recorded initialisation
for record in scratch:
    families.setdefault(display_name(record["network"], record["data"]), []).append(record)
Markdown(
    "Parents trained from scratch: " + "; ".join(f"{name} ({len(group)})" for name, group in families.items()) + "."
)

# %% [markdown]
# ## Fronts, trained and untrained
#
# Solid lines are trained networks, dotted ones the same networks before training, both for the lowest seed. Marks
# are the points nearest to utopia.

# %% mystnb={"image": {"alt": "Fronts of trained networks and, below, of their initialisations, with their optima."}}
fronts_figure({name: group[0] for name, group in families.items()})


# %% tags=["hide-input"]
def summarise(group: list[dict], stage: str) -> dict[str, str]:
    """Return a row of the table below."""
    found = [record[stage]["analysis"] for record in group]
    return {
        "optimal amount": formatting.format_mean_range([each["optimal"]["amount"] for each in found], ".2f"),
        "cosine at the optimum": formatting.format_mean_range([each["optimal"]["cosine"] for each in found], ".3f"),
        "kurtosis": formatting.format_mean_range([each["kurtosis"] for each in found], ",.2f"),
        "kurtosis of kurtoses": formatting.format_mean_range([each["kurtosis_of_kurtoses"] for each in found], ".2f"),
    }


# %%
pd.DataFrame(
    {
        (name, words): summarise(group, stage)
        for name, group in families.items()
        for stage, words in (("initial", "untrained"), ("trained", "trained"))
    }
).T

# %% [markdown]
# In the LeNets, training raises both the kurtosis and the optimal amount. Where there is batch normalisation, its ones
# rule the pooled kurtosis from the start. And look at the untrained rows: the rule prunes a fresh network almost as
# readily as a trained one. It cannot say "not at all", as [the theorem](../book/theorem.md) shows.
#
# ## Is it a knee?
#
# If the optimal amount is the most to prune, then a little less should cost next to nothing, and a little more
# should cost much. Here is what L1 pruning cost in accuracy after one epoch, at amounts counted from each network's
# own optimum.

# %% mystnb={"image": {"alt": "Accuracy lost after fine-tuning against the distance from the optimal amount, by seed."}}
optima = {record["parent_sha256"]: record["trained"]["analysis"]["optimal"]["amount"] for record in parents}
kurtoses = {record["parent_sha256"]: record["trained"]["definitions"] for record in parents}
l1 = {name: part for name, part in rows[rows["method"] == "l1"].groupby("parent_sha256") if name in optima}
Y_BEFORE = "accuracy_pruned"
OFFSETS = np.round(np.arange(-0.2, 0.1601, 0.01), 2)
costs = np.array(
    [accuracy_cost.cost_at(part, optima[name] + OFFSETS) for name, part in l1.items()]
)  # [parents, offsets]
neighbours_figure(OFFSETS, costs, cost)


# %% tags=["hide-input"]
def cost_row(offset: float) -> dict[str, str]:
    """Format the mean accuracy lost at an offset from the optimum (points), with its interval."""
    at = costs[:, int(np.argmin(np.abs(OFFSETS - offset)))]
    mean, low, high = intervals.mean_interval(100 * at[np.isfinite(at)]) if np.isfinite(at).any() else (np.nan,) * 3
    return {
        "accuracy lost (percentage points)": f"{mean:z.2f}",
        "95% CI over seeds": f"{low:z.2f} to {high:z.2f}" if low == low else "",
    }


# %%
table_offsets = (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15)
cost_table = pd.DataFrame({f"{offset:+.2f}": cost_row(offset) for offset in table_offsets})
cost_table.T.rename_axis(columns="amount − optimal amount")

# %% [markdown]
# ## What could in fact be pruned
#
# The largest amount that costs no more than allowed, seed by seed, after the epoch and before it. That is the
# quantity a rule should predict.

# %% mystnb={"image": {"alt": "Optimal amount and largest amounts within the allowed cost, for each parent."}}
possible = pd.DataFrame(
    {
        "seed": [int(part["seed"].iloc[0]) for part in l1.values()],
        "optimal amount": [optima[name] for name in l1],
        "after fine-tuning": [accuracy_cost.largest_amount(part, cost) for part in l1.values()],
        "just after pruning": [accuracy_cost.largest_amount(part, cost, Y_BEFORE) for part in l1.values()],
    },
    index=list(l1),
).sort_values("seed")
amounts_figure(possible.set_index("seed"), cost)

# %% [markdown]
# ## Does kurtosis tell how much?
#
# Rank correlations (Spearman) between the kurtosis of a parent and the largest amount it could lose after
# fine-tuning, for each thing that "the kurtosis of a network" may mean. The parents here are runs of one
# architecture on one data set, which differ by their seed alone. So this asks a narrow question: among such
# networks, does kurtosis predict?

# %%
amounts = possible["after fine-tuning"].to_list()
correlations = {
    name: rank_correlation.rank_correlation([kurtoses[each][name] for each in possible.index], amounts)
    for name in DEFINITIONS
    if all(kurtoses[each][name] is not None for each in possible.index)
}
pd.DataFrame(
    {
        name: {"rank correlation (95% CI)": formatting.format_interval(*found, "+.2f")}
        for name, found in correlations.items()
    }
).T

# %% [markdown]
# ## Between networks
#
# What the paper claims is larger: the higher the kurtosis, the more can be pruned, whatever the network. Here is every
# sweep of this book in which a network was pruned by L1, means over its seeds.

# %% tags=["hide-input"]
pruned = [part for _, part in tables.sweeps(tables.locate(table).parent)] if preset == "default" else [rows]
analyses = {record["parent_sha256"]: record["trained"]["analysis"] for record in parents}
weights = {record["parent_sha256"]: record["trained"]["weights"]["kurtosis"] for record in parents}
NEAR_OPTIMUM = {"0.05 below the optimum": -0.05, "at the optimum": 0.0, "0.05 above the optimum": 0.05}
KURTOSES, LARGEST = ("kurtosis, pooled", "kurtosis of the weight matrices"), "largest amount after fine-tuning"


def sweep_summary(part: pd.DataFrame) -> dict[str, float]:
    """Summarise a sweep: statistics of the parents' weights, largest amounts and accuracy lost; means over parents."""
    l1_rows = dict(list(part[part["method"] == "l1"].groupby("parent_sha256")))
    target = "accuracy" if part["epochs"].max() else Y_BEFORE
    best = {sha: analyses[sha]["optimal"]["amount"] for sha in l1_rows}
    losses = np.mean(
        [
            accuracy_cost.cost_at(each, best[sha] + np.array([*NEAR_OPTIMUM.values()]), target)
            for sha, each in l1_rows.items()
        ],
        axis=0,
    )
    untuned_amounts, tuned_amounts = (
        [accuracy_cost.largest_amount(each, cost, y) for each in l1_rows.values()] for y in (Y_BEFORE, target)
    )
    return {
        "parents": len(l1_rows),
        KURTOSES[0]: np.mean([analyses[sha]["kurtosis"] for sha in l1_rows]),
        KURTOSES[1]: np.mean([weights[sha] for sha in l1_rows]),
        "optimal amount": np.mean(list(best.values())),
        "largest amount just after pruning": np.mean(untuned_amounts),
        LARGEST: np.mean(tuned_amounts) if target != Y_BEFORE else np.nan,
        **{
            f"accuracy lost {where} (percentage points)": 100 * points
            for where, points in zip(NEAR_OPTIMUM, losses, strict=True)
        },
    }


def format_cell(name: str, value: float) -> str:
    """Format a cell of the table below; empty if the value is unknown."""
    form = ",.0f" if name == "parents" else "z,.1f" if "kurtosis" in name or "lost" in name else ".2f"
    return "" if np.isnan(value) else f"{value:{form}}"


# %%
summaries = pd.DataFrame({sweep_display_name(part): sweep_summary(part) for part in pruned})
pd.DataFrame({name: {row: format_cell(row, cell) for row, cell in cells.items()} for name, cells in summaries.items()})

# %% [markdown]
# *Largest amount* is the largest amount within the allowed cost. What is lost at the optimum and beside it is after
# fine-tuning where there is any. Both are linear between the measured amounts.
#
# Which of the numbers that weights alone give orders the networks by what they could lose after fine-tuning? Rank
# correlations over the columns of the table, which are few, and which differ in much more than kurtosis. Each network
# counts once: by its sweep with one epoch of fine-tuning, in which both L1 and random pruning were measured.

# %%
one_epoch = [part for part in pruned if part["epochs"].max() == 1 and {"l1", "random"} <= set(part["method"])]
one_epoch_summaries = summaries[[sweep_display_name(part) for part in one_epoch]].T
network_correlations = {
    name: rank_correlation.rank_correlation(one_epoch_summaries[name].tolist(), one_epoch_summaries[LARGEST].tolist())
    for name in (*KURTOSES, "optimal amount")
}
pd.DataFrame(
    {
        name: {"rank correlation (95% CI)": formatting.format_interval(*found, "+.2f")}
        for name, found in network_correlations.items()
    }
).T

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
gap = 100 * (possible["after fine-tuning"] - possible["optimal amount"])
mean_gap, low_gap, high_gap = intervals.mean_interval(gap)
trained = [record["trained"]["analysis"]["optimal"]["amount"] for record in scratch]
untrained = [record["initial"]["analysis"]["optimal"]["amount"] for record in scratch]
value, low, high = correlations.get(POOLED, (float("nan"),) * 3)
at_optimum = 100 * costs[:, int(np.argmin(np.abs(OFFSETS)))]
knee_text = (
    "It is not where accuracy gives way." if low_gap > 0 or high_gap < 0 else "It may be where accuracy gives way."
)
losses_at_optimum = one_epoch_summaries["accuracy lost at the optimum (percentage points)"]
losses_text = "\n".join(f"  - {name}: {points:z.1f}" for name, points in losses_at_optimum.items())
correlation_texts = [
    formatting.format_interval(*network_correlations[name], "+.2f") or "undefined" for name in KURTOSES
]
clear_text = "orders" if low > 0 or high < 0 else "is not seen to order"

Markdown(f"""
- **The rule does not see training.** It prunes {np.mean(trained):.0%} of the trained networks and
  {np.mean(untrained):.0%} of the untrained ones, on the mean. That the front of an untrained network falls earlier is
  true; that the rule therefore spares it is not.
- **At the optimum** the accuracy after one epoch is {np.nanmean(at_optimum):.2f}\N{NO-BREAK SPACE}points below the
  parent's, on the mean.
- **{knee_text}** The largest amount that costs at most {cost:.1%} lies {mean_gap:+.1f}\N{NO-BREAK SPACE}points of
  amount from the optimum ({low_gap:+.1f} to {high_gap:+.1f}).
- **Kurtosis** of the pooled weights {clear_text} these parents by what they could lose: rank correlation
  {formatting.format_interval(value, low, high, "+.2f")}, {len(possible)}\N{NO-BREAK SPACE}parents.
  Between {len(one_epoch_summaries)}\N{NO-BREAK SPACE}networks it is {correlation_texts[0]}, that of the weight
  matrices' kurtosis {correlation_texts[1]}.
- **From network to network** the price differs. After an epoch, the optimal amount costs, in points of accuracy:
{losses_text}
""")

# %% [markdown]
# What to do: take the optimal amount for a first guess, measure the accuracy there, and then go on in both
# directions.
