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
table: str = "lenet5_mnist.csv"  # the recorded sweep, a file of results/
device: str = "auto"  # of a new sweep: "auto" (a GPU where there is one), "cpu", "cuda"
seed: int = 0  # of a tiny sweep

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
from IPython.display import Markdown

from studies.shared.sweep_figures import LABELS, METHODS, networks_figure, sweep_figure
from wmgp.experiments import notebook
from wmgp.experiments.display_names import display_name, sweep_display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.statistics import collapse
from wmgp.experiments.sweep.temporary_sweep import small_sweep
from wmgp.experiments.training.recipes import min_parent_accuracy

where = notebook.setup(preset, seed, device)


def measured() -> tuple[pd.DataFrame, dict]:
    """The rows and their provenance: the recorded ones, or those of a sweep run now."""
    if preset == "default":
        path = tables.locate(table)
        return tables.with_facts(path), provenance(path)
    found = small_sweep(preset, str(where), (seed,))
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


def among(name: str) -> str:
    """All values of a setting among the runs."""
    return ", ".join(sorted({str(run[name]) for run in runs.values()}))


shown = [name for name in METHODS if name in set(rows["method"])]
least = min_parent_accuracy(among("network"), among("data"))
weak = pd.DataFrame(columns=["seed", "accuracy_parent"])
if least and preset == "default":  # what the reference run trained, but this sweep left out
    trained = tables.read(tables.locate("reference_run.csv")).drop_duplicates("seed")
    weak = trained[(trained["accuracy_parent"] < least) & (trained["data"] == among("data"))]
left_out = f" Left out, for its parent falls short of {least:.0%}: " if len(weak) else ""
left_out += ", ".join(f"seed {w.seed} ({w.accuracy_parent:.2%})" for w in weak.itertuples())
Markdown(
    f"{len(rows):,} rows: {display_name(among('network'), among('data'))}, {rows['seed'].nunique()} seeds, "
    f"{rows['amount'].nunique()} amounts, {', '.join(METHODS[name] for name in shown)}; "
    f"{among('device')} ({among('cpu')}), {among('date')}. Parents reach "
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

left = {y: collapse.jackknife(rows, lambda part, y=y: collapse.shares(part, y), (0, 1)) for y in QUANTITIES}
names = {"amount": "one curve over amount", "cosine": "one curve over cosine", "own": "a curve a method"}
pd.DataFrame(
    {LABELS[y]: {names[x]: formatting.format_interval(*found) for x, found in left[y].items()} for y in QUANTITIES}
).T

# %% [markdown]
# ## At the same cosine
#
# A small unexplained share can still hide a difference that is always there. So take both methods at the same cosine,
# seed by seed, and subtract. What lies between two measured cosines is taken from the straight line between them; but
# only where both are near, for over a long way the curve bends by as much as is asked for. Intervals (95%) are
# Student's t over the seeds, where these are five or more.


# %% tags=["hide-input"]
def mean_at(cosine: float, method: str) -> str:
    """Mean accuracy of a method at a cosine; nothing where no row is near."""
    there = collapse.at_cosine(rows[rows["method"] == method], (cosine,))["accuracy"]
    return formatting.format_interval(there.mean(), np.nan, np.nan, ".2%")


# %%
COSINES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6)
gaps = {cosine: collapse.mean_difference(rows, cosine, unit=100) for cosine in COSINES}
pd.DataFrame(
    {
        f"cosine {c}": {
            "L1": mean_at(c, "l1"),
            "random": mean_at(c, "random"),
            "L1 less random (points)": collapse.format_mean_difference(rows, c, "+.2f"),
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
PAIR = ("l1", "random")
ENOUGH = 5 if preset == "default" else 1  # amounts of either, where a curve can be fitted to more than its own points


def few(part: pd.DataFrame) -> dict[str, int]:
    """Of L1 and random pruning: what has too few amounts, and how many there are."""
    amounts = {method: part.loc[part["method"] == method, "amount"].nunique() for method in PAIR}
    return {METHODS[method]: n for method, n in amounts.items() if n < ENOUGH}


recorded = tables.sweeps(tables.locate(table).parent) if preset == "default" else [("here", rows)]
swept = {sweep_display_name(part): part for _, part in recorded if part["epochs"].max()}
tuned = {name: part for name, part in swept.items() if not few(part)}
missing = {
    name: " and ".join(f"{n or 'no'} amount{'' if n == 1 else 's'} of {method}" for method, n in few(part).items())
    for name, part in swept.items()
    if few(part)
}
told = "; ".join(f"{name} ({why})" for name, why in missing.items())
Markdown(
    f"L1 and random pruning can be compared where both have {ENOUGH} amounts or more. That leaves {len(tuned)} of "
    f"{len(swept)} sweeps; left out: {told}."
    if missing
    else "All of them are shown."
)

# %% mystnb={"image": {"alt": "Accuracy after fine-tuning against amount and cosine, a line of panels a network."}}
networks_figure(tuned, ["amount", "cosine_pruned"], "accuracy")

# %% mystnb={"image": {"alt": "Loss after fine-tuning against amount and cosine, a line of panels a network."}}
networks_figure(tuned, ["amount", "cosine_pruned"], "loss")

# %% [markdown]
# And the numbers, for L1 and random pruning only: what one curve leaves of the variance of the accuracy, and how far L1
# lies above random pruning at the same cosine. A sweep whose steps are coarse has no row near enough to some cosines,
# and there the cell is empty.

# %%
CLOSE = 0.9
AT = (0.95, CLOSE, 0.8)  # cosines
pairs = {name: part[part["method"].isin(PAIR)] for name, part in tuned.items()}
shares = {name: collapse.jackknife(pair, collapse.shares, (0, 1)) for name, pair in pairs.items()}


def summary(name: str) -> dict[str, str]:
    """A row of the table below."""
    counts = {"seeds": str(pairs[name]["seed"].nunique()), "rows": f"{len(pairs[name]):,}"}
    return {
        **counts,
        **{names[x]: formatting.format_interval(*shares[name][x]) for x in names},
        **{f"L1 less random at {c} (points)": collapse.format_mean_difference(pairs[name], c, "+.1f") for c in AT},
    }


pd.DataFrame({name: summary(name) for name in tuned}).T

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
by_amount, by_cosine, own = (left["accuracy"][name] for name in ("amount", "cosine", "own"))
clear = [c for c, (_, low, _) in gaps.items() if low > 0]
unclear = [c for c, (_, low, high) in gaps.items() if low <= 0 <= high]
better = f"L1 is the better one at {', '.join(map(str, clear))}" if clear else "no difference is clear of chance"
better += f"; at {', '.join(map(str, unclear))} the interval holds zero" if clear and unclear else ""
widest = max((g for g in gaps.values() if g[0] == g[0]), default=(float("nan"),) * 3)
fewer = 1 - by_cosine[0] / by_amount[0]
# Each network once: the same one with more epochs is not another.
once = [name for name, pair in pairs.items() if pair["epochs"].iloc[0] == 1]
closer = sum(shares[name]["cosine"][0] < shares[name]["amount"][0] for name in once)
near = {name: collapse.mean_difference(pairs[name], CLOSE, unit=100) for name in once}
near = {name: found for name, found in near.items() if found[0] == found[0]}
ahead = sum(value > 0 for value, _, _ in near.values())
surely = sum(low > 0 for _, low, _ in near.values())
several = sum(low == low for _, low, _ in near.values())
behind = ", ".join(name for name, (_, _, high) in near.items() if high < 0)
Markdown(f"""
- **Cosine says far more than percentage.** One curve over the amount leaves {by_amount[0]:.1%} of the variance of the
  accuracy unexplained, one over the cosine {by_cosine[0]:.1%}: {fewer:.0%} less.
- **It does not say all.** A curve a method would leave {own[0]:.1%}. Where the cosine is the same, {better}. The
  widest gap among these is {formatting.format_interval(*widest, "+.2f")}\N{NO-BREAK SPACE}points.
- **In every network?** After one epoch, the cosine leaves less unexplained than the amount in {closer} of
  {len(once)}. At a cosine of {CLOSE} L1 is ahead of random pruning in {ahead} of the {len(near)} that have rows near
  it, and clear of chance in {surely} of the {several} with {collapse.FEWEST} seeds or
  more{f"; it is behind, clear of chance, in {behind}" if behind else ""}. The table above has the numbers.
- **Why the rest?** A cosine is one number for all the weights. Two prunes at the same cosine can take very different
  shares from each layer, and L1 at the same cosine has taken many more weights, all small ones.
""")

# %% [markdown]
# What to do: when you compare prunes of one parent, compare them at equal cosine rather than at equal percentage,
# but do not take equal cosine for equal accuracy.
