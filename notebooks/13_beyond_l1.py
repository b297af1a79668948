# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Beyond one-shot L1
#
# The paper says that accuracy follows the cosine to the parent *whatever the method* that chose the weights. It tried
# two methods, both at one stroke: L1 and random. People prune in other ways, too. They look at gradients, they give
# each layer its share, they prune little by little, or they take the weights back to where they were earlier in
# training. Does the cosine still order all of these, once each is given the same amount of training?
#
# ```{verdicts} C2
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded rows), "quick" (networks on digits, two minutes) or "tiny" (seconds)
device: str = "auto"  # device of training in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of the networks that are trained here

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
from IPython.display import Markdown

from studies.beyond_l1 import correlations, measure, schedules
from studies.beyond_l1.figure import strategies_figure
from wmgp.experiments import notebook
from wmgp.experiments.data import load
from wmgp.experiments.display_names import display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.statistics import collapse, intervals
from wmgp.experiments.training.loop import evaluate
from wmgp.experiments.training.recipes import DIGITS_CONFIG, experiment_config

where = notebook.setup(preset, seed, device)
SMALL_STUDY = {"quick": (20, 3, 1437, 2), "tiny": (6, 3, 300, 1)}  # parent epochs, epochs after pruning, images, seeds


def measured() -> pd.DataFrame:
    """Return the recorded rows, or rows of small networks trained now."""
    if preset == "default":
        return tables.read(tables.locate("beyond_l1.csv"))
    parent_epochs, epochs, images, seeds = SMALL_STUDY[preset]
    training, test, new_rows = load("digits", True, where).first(images), load("digits", False, where), []
    for run_seed in range(seed, seed + seeds):
        start = measure.prepare_start(
            "lenet5", training, run_seed, replace(DIGITS_CONFIG, epochs=parent_epochs), epochs
        )
        before = evaluate(start.parent, test)
        job = {"network": "lenet5", "data": "digits", "seed": run_seed}
        new_rows += [
            job | measure.measure(start, before, test, *job_key) for job_key in measure.strategy_jobs((0.9, 0.98))
        ]
    return pd.DataFrame(new_rows)


everything = measured()
rows, control = correlations.add_strategy_names(everything), everything[everything["amount"] == 0]
first = everything.iloc[0]
name, epochs, n_seeds = (
    display_name(first["network"], first["data"]),
    int(first["epochs"]),
    everything["seed"].nunique(),
)
amounts = ", ".join(f"{amount:.0%}" for amount in sorted(set(rows["amount"])))
Markdown(
    f"{len(everything)} rows: {name}, {n_seeds} parent{'s' if n_seeds > 1 else ''}, "
    f"{rows['strategy'].nunique()} strategies, amounts {amounts}, {epochs} epochs after the parent. "
    f"Parents reach {everything['accuracy_parent'].mean():.1%}."
)

# %% [markdown]
# ## The ways
#
# Who chooses the weights, at one stroke and with one schedule of training after it:
#
# - **L1**: the smallest magnitudes {cite:p}`hanson1988comparing,han2015learning`; **L1 per tensor**: the smallest of
#   each tensor; **random**: any.
# - **LAMP**: squares over the sum of those in the same tensor that are not smaller {cite:p}`lee2021lamp`.
# - **SNIP**: the smallest $|w \, \partial L / \partial w|$ {cite:p}`lee2019snip`. It was made for networks before
#   training; here it looks at the trained parent, and at all the training images.
#
# When they are chosen, and from where training goes on, always by L1:
#
# - **L1, small rate**: trained at a small constant rate, as everywhere else in this book.
# - **L1, weights rewound**: what is kept goes back to its values from as many epochs before the parent's end
#   {cite:p}`renda2020comparing`.
# - **gradual L1**: a little more before each epoch, along a cubic {cite:p}`zhu2017prune`.
# - **iterative L1**: in three rounds of equal share, with the parent's last rates in each
#   {cite:p}`renda2020comparing`; **rewound**: and the kept weights taken back in each
#   {cite:p}`frankle2019lottery,frankle2020linear`.
#
# What each of them does, stage by stage, at one amount:


# %% tags=["hide-input"]
def describe_schedule(rule: str, amount: float = 0.9) -> str:
    """Return a line of the list below."""
    parent = experiment_config("lenet_small", "cifar10")
    stages = schedules.SCHEDULES[rule](parent, amount, measure.EPOCHS)
    steps = ", then ".join(
        f"to {stage.amount:.0%}"
        + (f", back to epoch {stage.rewind_to} of {parent.epochs}" if stage.rewind_to is not None else "")
        + f", {stage.epochs} epoch{'s' if stage.epochs > 1 else ''}"
        for stage in stages
    )
    return f"- **{rule}**: {steps}."


Markdown("\n".join(describe_schedule(rule) for rule in schedules.SCHEDULES))

# %% [markdown]
# ## What makes it fair
#
# Every way trains for the same number of epochs after the parent, on the same images, rounds and steps counted
# together. Every way but one takes its learning rates from the end of the parent's own schedule: learning-rate
# rewinding, which its authors find to be as good as any other choice {cite:p}`renda2020comparing`. So between two ways
# that prune at one stroke nothing differs but the weights that were chosen. Two things are not equal. SNIP looks at the
# training images once more, without a step. And a round starts without the momentum of the round before it.
#
# Training on changes a network by itself. The control is the parent, unpruned and trained on in the same way.
#
# *Cosine under the mask* is that of the parent with the final mask laid upon it. It says which weights were chosen,
# and it exists for every way, also where the mask came about in steps. By [the theorem](../book/theorem.md) no way can
# have more of it than one-shot L1 at the same amount. The cosine *after training* is that of the finished network.

# %% mystnb={"image": {"alt": "Accuracy of ten ways against amount, cosine under the mask and after training."}}
strategies_figure(rows, float(control["accuracy"].mean()))

# %% [markdown]
# Means over the parents; bars reach one standard deviation to either side. In percent, with 95% intervals of the mean
# (Student's t over the parents):


# %% tags=["hide-input"]
def by_amount(estimates: pd.DataFrame, form: str) -> pd.DataFrame:
    """Return a table of strategies by amounts, in percent or percentage points."""
    cells = [
        formatting.format_interval(*(100 * row[["mean", "low", "high"]].astype(float)), form)
        for _, row in estimates.iterrows()
    ]
    formatted = estimates.assign(worded=cells, amount=[f"{amount:.0%} pruned" for amount in estimates["amount"]])
    table = formatted.pivot(index="strategy", columns="amount", values="worded").reindex(
        dict.fromkeys(estimates["strategy"])
    )
    return table.rename_axis(index=None, columns=None)


# %%
by_amount(correlations.mean_by_strategy(rows), ".1f")

# %% [markdown]
# ## Against one-shot L1
#
# Accuracy less that of one-shot L1 from the same parent, in points, with 95% intervals. There are many of them, and
# one in twenty would leave zero out by chance.

# %%
gains = correlations.gains_over_l1(rows)
by_amount(gains, "+.1f")

# %% [markdown]
# ## Does the cosine order them?
#
# Spearman's rank correlation of the cosine with the accuracy, over the ways: 1 means the same order. At one amount it
# is a question about the ways alone. Over all amounts at once, more pruning lowers both, so it is high for anything
# that falls with the amount. Random is far off in both, and with it a correlation is easily had; so there is a line
# without it. Ways that end in the same mask, such as L1 at another rate, have the same cosine under it, and share a
# rank. *One-shot methods* share one schedule, *L1 schedules* share one method. Intervals
# (95%) come from leaving out one parent at a time (the jackknife, {cite:p}`efron1993introduction`, chapter 11); fewer
# than five parents have none.

# %%
COSINES = {"cosine_pruned": "under the mask", "cosine": "after training"}
ranks = {
    (which, x): collapse.jackknife(
        correlations.select_strategies(rows, which), lambda part, x=x: correlations.rank_correlations(part, x), (-1, 1)
    )
    for which in correlations.STRATEGY_GROUPS
    for x in COSINES
}
pd.DataFrame(
    {
        f"{which}, {COSINES[x]}": {
            head: formatting.format_interval(*interval, "+.2f") for head, interval in estimates.items()
        }
        for (which, x), estimates in ranks.items()
    }
).T

# %% [markdown]
# ## How much one curve explains
#
# The share of the variance that the best monotone curve leaves, as in
# [the notebook about cosine and percentage](05_cosine_not_percentage.ipynb). A curve a way over the amount is
# the yardstick.

# %%
CURVES = {
    "amount": "variance not explained by amount",
    "cosine": "variance not explained by cosine under the mask",
    "after": "variance not explained by cosine after training",
    "own": "variance not explained by a separate curve for each strategy",
}
unexplained = {
    which: collapse.jackknife(correlations.select_strategies(rows, which), correlations.unexplained_variance, (0, 1))
    for which in ("all strategies", "all but random")
}
pd.DataFrame(
    {
        which: {CURVES[x]: formatting.format_interval(*estimates[x]) for x in CURVES}
        for which, estimates in unexplained.items()
    }
).T

# %% [markdown]
# ## What to conclude


# %% tags=["hide-input"]
def significant_strategies(sign: int) -> str:
    """List the strategies that gain (sign 1) or lose (sign -1) significantly, each with its amounts."""
    end = gains["low"] if sign > 0 else -gains["high"]
    end = end.where(end.notna(), sign * gains["mean"])  # without an interval (a single parent): the mean
    chosen = gains[end > 0].groupby("strategy", sort=False)["amount"].agg(lambda a: ", ".join(f"{x:.0%}" for x in a))
    return "; ".join(f"{strategy} ({amounts})" for strategy, amounts in chosen.items()) or "none"


def correlation(which: str, x: str, head: str = correlations.MEAN_OVER_AMOUNTS) -> str:
    """Format a rank correlation with its interval, or "undefined"."""
    return formatting.format_interval(*ranks[which, x][head], "+.2f") or "undefined"


MIN_CORRELATION = 0.5  # smallest lower end of a rank correlation at an equal amount that counts as an order


def is_ordered(which: str) -> bool:
    """Return True if the cosine under the mask orders these strategies; without an interval, by the value itself."""
    value, low, _ = ranks[which, "cosine_pruned"][correlations.MEAN_OVER_AMOUNTS]
    return (value if np.isnan(low) else low) >= MIN_CORRELATION


table = correlations.mean_by_strategy(rows)
best = table.loc[table.groupby("amount")["mean"].idxmax()]
best_text = "; ".join(f"at {row.amount:.0%}, {row.strategy} ({row.mean:.1%})" for row in best.itertuples(index=False))
control_gain = formatting.format_interval(
    *intervals.mean_interval(100 * (control["accuracy"] - control["accuracy_parent"])), "+.1f"
)
shares = {
    which: f"{estimates['cosine'][0]:.1%}, {estimates['amount'][0]:.1%} and {estimates['own'][0]:.1%}"
    for which, estimates in unexplained.items()
}
Markdown(f"""
- **At an equal amount**, over all ways, the rank correlation of accuracy with the cosine is
  {correlation("all strategies", "cosine_pruned")} under the mask and {correlation("all strategies", "cosine")} after
  training. Without random it is {correlation("all but random", "cosine_pruned")} and
  {correlation("all but random", "cosine")}.
- **Between methods**, at one schedule, it is {correlation("one-shot methods", "cosine_pruned")} under the mask;
  **between schedules** of one method, {correlation("L1 schedules", "cosine_pruned")}.
- **Over all amounts** it is {correlation("all strategies", "cosine_pruned", correlations.ALL_AMOUNTS)} under the mask.
  One curve over the cosine under the mask, one over the amount, and a curve a way leave {shares["all strategies"]} of
  the variance; without random {shares["all but random"]}.
- **Better than one-shot L1**, which has the largest cosine of all, clear of chance: {significant_strategies(1)}. Worse:
  {significant_strategies(-1)}.
- **The best mean**: {best_text}.
- **Training alone** changes the accuracy of the unpruned parent by {control_gain}\N{NO-BREAK SPACE}points.
- **So**, as far as {n_seeds} parent{"s" if n_seeds > 1 else ""} of {name} can tell, and calling it an order from a
  correlation of {MIN_CORRELATION} on: at an equal amount the cosine under the mask
  {"orders" if is_ordered("one-shot methods") else "does not order"} the methods that are trained in the same way,
  {"orders" if is_ordered("L1 schedules") else "does not order"} the schedules of one method, and
  {"orders" if is_ordered("all but random") else "does not order"} all ways but random.
""")

# %% tags=["hide-input"]
gain = gains.set_index(["strategy", "amount"])["mean"].mul(100)
most = float(gains["amount"].max())
method_text = (
    "between methods that will be trained in the same way, the larger cosine is a fair first guess"
    if is_ordered("one-shot methods")
    else "do not choose between methods by their cosine"
)
schedule_text = (
    "It also says which schedule is better."
    if is_ordered("L1 schedules")
    else "It does not say when to prune, how often, or at which rates to train."
)
Markdown(f"""
What to do: {method_text}. {schedule_text} At {most:.0%}, against one-shot L1, choosing at random changes the accuracy
by {gain["random", most]:+.1f}\N{NO-BREAK SPACE}points, and a small constant rate in place of the parent's last rates by
{gain["L1, small rate", most]:+.1f}; pruning gradually changes it by {gain["gradual L1", most]:+.1f}. So compare ways
to prune only at equal epochs and rates, and from several parents.
""")
