# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Cosine, not percentage
#
# Prune half of a network's weights at random, and it suffers far more than when the smallest half goes. So the
# percentage says little. The paper claims that cosine similarity to the parent says it all: after one epoch of
# fine-tuning, accuracy and loss follow the cosine, *whatever the method* that chose the weights. In its Figures 1
# and 2 two methods, global L1 and random, differ widely when drawn against the pruned percentage, and fall together
# when drawn against the cosine.
#
# Here the same experiment was run, first with LeNet-5 on MNIST, then with others. Do the two methods fall onto one
# curve? The claim gets two numbers: how much of the variance one common curve leaves unexplained, and how far the two
# methods lie apart where their cosine is the same.
#
# ```{verdicts} C2
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded rows), "quick" (a new sweep on digits, two minutes) or "tiny" (seconds)
table: str = "lenet5_mnist.csv"  # the recorded sweep, a file in results/
device: str = "auto"  # device of a new sweep: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of a tiny sweep

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
from IPython.display import Markdown

from studies.shared.sweep_figures import COLUMN_LABELS, METHOD_LABELS, networks_figure, sweep_figure
from wmgp.experiments import notebook
from wmgp.experiments.display_names import display_name, sweep_display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.statistics import collapse, intervals
from wmgp.experiments.sweep.temporary_sweep import run_temporary_sweep
from wmgp.experiments.training.recipes import min_parent_accuracy

where = notebook.setup(preset, seed, device)


def measured() -> tuple[pd.DataFrame, dict]:
    """Return rows and provenance of the recorded sweep, or of a new one."""
    if preset == "default":
        path = tables.locate(table)
        return tables.with_facts(path), provenance(path)
    found = run_temporary_sweep(preset, str(where), (seed,))
    return found.rows, dict(found.runs)


# %% [markdown]
# ## The rows
#
# A parent is trained, a copy of it is pruned by one method at one amount, and the copy is trained for one epoch
# more, its pruned weights held at zero. Then it is tested. That is one row. A parent that has not learnt its task is
# no evidence, for it has little to lose; so a bar was set for its accuracy beforehand.

# %% tags=["hide-input"]
rows, runs = measured()
rows = rows.sort_values(["seed", "method", "amount"], ignore_index=True)


def values_of(name: str) -> str:
    """Return all values of a setting in the runs."""
    return ", ".join(sorted({str(run[name]) for run in runs.values()}))


shown = [name for name in METHOD_LABELS if name in set(rows["method"])]
min_accuracy = min_parent_accuracy(values_of("network"), values_of("data"))
weak_parents = pd.DataFrame(columns=["seed", "accuracy_parent"])
if min_accuracy and preset == "default":  # trained in the reference run, but left out of this sweep
    trained = tables.read(tables.locate("reference_run.csv")).drop_duplicates("seed")
    weak_parents = trained[(trained["accuracy_parent"] < min_accuracy) & (trained["data"] == values_of("data"))]
left_out = f" Left out, for its parent falls short of {min_accuracy:.0%}: " if len(weak_parents) else ""
left_out += ", ".join(f"seed {w.seed} ({w.accuracy_parent:.2%})" for w in weak_parents.itertuples())
Markdown(
    f"{len(rows):,} rows: {display_name(values_of('network'), values_of('data'))}, {rows['seed'].nunique()} seeds, "
    f"{rows['amount'].nunique()} amounts, {', '.join(METHOD_LABELS[name] for name in shown)}; "
    f"{values_of('device')} ({values_of('cpu')}), {values_of('date')}. Parents reach "
    f"{rows['accuracy_parent'].mean():.1%} (from {rows['accuracy_parent'].min():.1%} to "
    f"{rows['accuracy_parent'].max():.1%}).{left_out}"
)

# %% [markdown]
# ## After one epoch
#
# On the left the rows are drawn against the amount, on the right the very same rows against the cosine just after
# pruning. Lines are means over the seeds, bands reach one standard deviation to either side.

# %% mystnb={"image": {"alt": "Accuracy and loss after fine-tuning, on amount: far apart; on cosine: closer."}}
sweep_figure(rows, ["amount", "cosine_pruned"], ["accuracy", "loss"], {"loss": 0})

# %% [markdown]
# Against the amount the two methods have nothing to do with each other. Against the cosine they come close, at least
# where the cosine is high. Look at the middle, though: the lines do not coincide, and random pruning is the lower
# one.
#
# ## Before fine-tuning
#
# The claim is about networks after one epoch. Just after pruning, this is what they do.

# %% mystnb={"image": {"alt": "Accuracy and loss just after pruning against amount and cosine: random far below L1."}}
sweep_figure(rows, ["amount", "cosine_pruned"], ["accuracy_pruned", "loss_pruned"], {"loss_pruned": 0})

# %% [markdown]
# ## How much one curve explains
#
# If accuracy followed the cosine alone, all rows would lie on one rising curve. The best such curve is found by
# isotonic regression, which has nothing to tune. What it leaves is given as a share of the whole variance: 0 is a
# perfect collapse, 1 is none. The last column is what is left when each method has a curve of its own over its
# amounts: scatter between seeds, and what is not monotone. It is a yardstick and no bound, for a common curve over the
# cosine may leave less where seeds differ in their cosine as well. Intervals (95%) come from leaving out one seed at
# a time (the jackknife, {cite:p}`efron1993introduction`, chapter 11), and are cut at 0 and 1. Fewer than five seeds
# have none.

# %%
QUANTITIES = ("accuracy", "loss", "accuracy_pruned", "loss_pruned")

unexplained = {
    y: collapse.jackknife(rows, lambda part, y=y: collapse.unexplained_shares(part, y), (0, 1)) for y in QUANTITIES
}
curve_names = {
    "amount": "variance not explained by amount",
    "cosine": "variance not explained by cosine",
    "own": "variance not explained by a separate curve for each method",
}
pd.DataFrame(
    {
        COLUMN_LABELS[y]: {curve_names[x]: formatting.format_interval(*found) for x, found in unexplained[y].items()}
        for y in QUANTITIES
    }
).T

# %% [markdown]
# ## At the same cosine
#
# A small unexplained share can still hide a difference that is always there. So take both methods at the same cosine,
# seed by seed, and subtract. What lies between two measured cosines is taken from the straight line between them; but
# only where both are near, for over a long way the curve bends by as much as is asked for. Intervals (95%) are
# Student's t over the seeds, where these are five or more.


# %% tags=["hide-input"]
def format_accuracy_at(cosine: float, method: str) -> str:
    """Format the mean accuracy of a method at a cosine; empty if no row is near."""
    accuracies = collapse.accuracy_at_cosine(rows[rows["method"] == method], (cosine,))["accuracy"]
    return formatting.format_interval(accuracies.mean(), np.nan, np.nan, ".2%")


# %%
COSINES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6)
differences = {cosine: collapse.mean_difference(rows, cosine, unit=100) for cosine in COSINES}
pd.DataFrame(
    {
        f"cosine {c}": {
            "L1": format_accuracy_at(c, "l1"),
            "random": format_accuracy_at(c, "random"),
            "L1 − random (percentage points)": collapse.format_mean_difference(rows, c, "+.2f"),
        }
        for c in COSINES
    }
).T

# %% [markdown]
# ## Every sweep so far
#
# The same two figures for each sweep that was recorded with fine-tuning.
# [What has been run](../book/status.md) says on how many seeds and amounts each rests.

# %% tags=["hide-input"]
COMPARED_METHODS = ("l1", "random")
MIN_AMOUNTS = (
    5 if preset == "default" else 1
)  # amounts per method, so that a curve has more points than it interpolates


def too_few(part: pd.DataFrame) -> dict[str, int]:
    """Return the number of amounts of each method (L1, random) that has fewer than `MIN_AMOUNTS`."""
    amounts = {method: part.loc[part["method"] == method, "amount"].nunique() for method in COMPARED_METHODS}
    return {METHOD_LABELS[method]: n for method, n in amounts.items() if n < MIN_AMOUNTS}


recorded = tables.sweeps(tables.locate(table).parent) if preset == "default" else [("here", rows)]
fine_tuned_sweeps = {sweep_display_name(part): part for _, part in recorded if part["epochs"].max()}
comparable = {name: part for name, part in fine_tuned_sweeps.items() if not too_few(part)}
reasons = {
    name: " and ".join(f"{n or 'no'} amount{'' if n == 1 else 's'} of {method}" for method, n in too_few(part).items())
    for name, part in fine_tuned_sweeps.items()
    if too_few(part)
}
left_out_text = "; ".join(f"{name} ({why})" for name, why in reasons.items())
Markdown(
    f"L1 and random pruning can be compared where both have {MIN_AMOUNTS} amounts or more. "
    f"That leaves {len(comparable)} of {len(fine_tuned_sweeps)} sweeps; left out: {left_out_text}."
    if reasons
    else "All of them are shown."
)

# %% mystnb={"image": {"alt": "Accuracy after fine-tuning against amount and cosine, a line of panels a network."}}
networks_figure(comparable, ["amount", "cosine_pruned"], "accuracy")

# %% mystnb={"image": {"alt": "Loss after fine-tuning against amount and cosine, a line of panels a network."}}
networks_figure(comparable, ["amount", "cosine_pruned"], "loss")

# %% [markdown]
# And the numbers, for L1 and random pruning only: what one curve leaves of the variance of the accuracy, and how far L1
# lies above random pruning at the same cosine. A sweep whose steps are coarse has no row near enough to some cosines,
# and there the cell is empty.

# %%
NEAR_COSINE = 0.9
TABLE_COSINES = (0.95, NEAR_COSINE, 0.8)  # cosines
pairs = {name: part[part["method"].isin(COMPARED_METHODS)] for name, part in comparable.items()}
shares = {name: collapse.jackknife(pair, collapse.unexplained_shares, (0, 1)) for name, pair in pairs.items()}


def summary(name: str) -> dict[str, str]:
    """Return a row of the table below."""
    counts = {"seeds": str(pairs[name]["seed"].nunique()), "rows": f"{len(pairs[name]):,}"}
    return {
        **counts,
        **{f"{label} (accuracy)": formatting.format_interval(*shares[name][x]) for x, label in curve_names.items()},
        **{
            f"L1 − random accuracy at cosine {c} (percentage points)": collapse.format_mean_difference(
                pairs[name], c, "+.1f"
            )
            for c in TABLE_COSINES
        },
    }


pd.DataFrame({name: summary(name) for name in comparable}).T

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
by_amount, by_cosine, own = (unexplained["accuracy"][name] for name in ("amount", "cosine", "own"))
clear = [c for c, (_, low, _) in differences.items() if low > 0]
unclear = [c for c, (_, low, high) in differences.items() if low <= 0 <= high]
better_text = f"L1 is the better one at {', '.join(map(str, clear))}" if clear else "no difference is clear of chance"
better_text += f"; at {', '.join(map(str, unclear))} the interval holds zero" if clear and unclear else ""
largest_difference = max((g for g in differences.values() if g[0] == g[0]), default=(float("nan"),) * 3)
reduction = 1 - by_cosine[0] / by_amount[0]
# Each network counts once: sweeps with more epochs of fine-tuning are left out.
one_epoch = [name for name, pair in pairs.items() if pair["epochs"].iloc[0] == 1]
n_closer = sum(shares[name]["cosine"][0] < shares[name]["amount"][0] for name in one_epoch)
near_differences = {name: collapse.mean_difference(pairs[name], NEAR_COSINE, unit=100) for name in one_epoch}
near_differences = {name: found for name, found in near_differences.items() if found[0] == found[0]}
n_ahead = sum(value > 0 for value, _, _ in near_differences.values())
n_clear = sum(low > 0 for _, low, _ in near_differences.values())
n_intervals = sum(low == low for _, low, _ in near_differences.values())
behind = ", ".join(name for name, (_, _, high) in near_differences.items() if high < 0)
Markdown(f"""
- **Cosine says far more than percentage.** One curve over the amount leaves {by_amount[0]:.1%} of the variance of the
  accuracy unexplained, one over the cosine {by_cosine[0]:.1%}: {reduction:.0%} less.
- **It does not say all.** A curve a method would leave {own[0]:.1%}. Where the cosine is the same, {better_text}. The
  widest gap among these is {formatting.format_interval(*largest_difference, "+.2f")}\N{NO-BREAK SPACE}points.
- **In every network?** After one epoch, the cosine leaves less unexplained than the amount in {n_closer} of
  {len(one_epoch)}. At a cosine of {NEAR_COSINE} L1 is ahead of random pruning in {n_ahead} of the
  {len(near_differences)} that have rows near it, and clear of chance in {n_clear} of the {n_intervals} with
  {intervals.MIN_SEEDS} seeds or more{f"; it is behind, clear of chance, in {behind}" if behind else ""}. The table
  above has the numbers.
- **Why the rest?** A cosine is one number for all the weights. Two prunes at the same cosine can take very different
  shares from each layer, and L1 at the same cosine has taken many more weights, all small ones.
""")

# %% [markdown]
# What to do: when you compare prunes of one parent, compare them at equal cosine rather than at equal percentage,
# but do not take equal cosine for equal accuracy.
