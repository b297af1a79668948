# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Kurtosis on purpose
#
# *The higher the kurtosis of the parameters, the more can be pruned.* The paper shows it on three networks, which
# differ in much more than their kurtosis: in their architecture, their size, their layers. Here the architecture stays,
# and the kurtosis is moved on purpose, in several ways. Does what can be pruned follow?
#
# ```{verdicts} C5
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded rows), "quick" (digits, two minutes) or "tiny" (seconds)
device: str = "auto"  # device of training in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of the bootstrap and of training in this notebook
cost: float = 0.01  # allowed loss of accuracy as a fraction: 0.01 is one percentage point
draws: int = 1000  # bootstrap draws

# %% tags=["hide-input"]
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from IPython.display import Markdown

from studies.kurtosis_on_purpose import correlations, measure
from studies.kurtosis_on_purpose.correlations import CONFOUNDERS, PREDICTORS, TARGETS
from studies.kurtosis_on_purpose.figure import correlations_figure, largest_amounts_figure
from studies.kurtosis_on_purpose.variants import BASE, INITIAL_DISTRIBUTIONS, VARIANTS
from wmgp.experiments import notebook
from wmgp.experiments.display_names import display_name
from wmgp.experiments.results import formatting, tables

where = notebook.setup(preset, seed, device)
notebook.check_between("cost", cost, 0, 1)
draws = min(notebook.check_integer("draws", draws, 1, 100_000), 50 if preset == "tiny" else draws)

if preset == "default":
    rows = tables.read(tables.locate("kurtosis_on_purpose.csv"))
else:
    rows = measure.small_study(preset, str(where), seed)
parents = correlations.parent_table(rows, cost)
kinds = parents.groupby("moved", sort=False)["variant"].unique()
first = rows.iloc[0]
name, seeds = display_name(first["network"], first["data"]), parents["seed"].nunique()
Markdown(f"{name}: {len(parents)} parents, {seeds} of each variant.")

# %% [markdown]
# ## What was moved
#
# Every variant differs from the usual training in one thing:
#
# - **initialisation**: weights drawn from another law, at the same norm of every tensor;
# - **weight decay**, none or much;
# - **L1 penalty**: $\lambda \sum |w|$ beside the loss {cite:p}`tibshirani1996regression`, by a hook on the gradient;
# - **training length**;
# - **power of the weights**: trained is $v$, and the weight is $v\,|v|^{\alpha-1}$
#   {cite:p}`schwarz2021powerpropagation`: large weights learn faster than small ones, so tails grow heavy;
# - **rescaling**: the usual parent, its channels multiplied and divided so that
#   [every output stays as it is](12_rescaling.ipynb). Only the weights' numbers move.

# %% tags=["hide-input"]
laws = "\n".join(f"- **{name}**: {(law.__doc__ or '').strip()}" for name, law in INITIAL_DISTRIBUTIONS.items())
shown_variants = {variant.name: variant for variant in VARIANTS if variant.name in set(parents["variant"])}
Markdown(
    "\n".join(f"- **{kind}**: {', '.join(names)}" for kind, names in kinds.items()) + f"\n\nThe laws beside PyTorch's "
    f"uniform one, whose kurtosis is {9 / 5:.1f}:\n\n{laws}"
)

# %% [markdown]
# Each parent was pruned by L1, and each prune fine-tuned for an epoch, all alike. *Largest amount* is the amount at
# which accuracy has fallen by the allowed cost, linear between the measured amounts. It is counted from the parent's
# accuracy just after pruning, and after the epoch. A parent that has not learnt enough gains by the epoch itself, so it
# is counted from the unpruned parent after that same epoch, too.


# %% tags=["hide-input"]
def summarise(part: pd.DataFrame) -> dict[str, str]:
    """Return a row of the table: means over the seeds."""
    return {
        "kurtosis": f"{part['kurtosis'].mean():,.1f}",
        "accuracy (%)": f"{100 * part['accuracy_parent'].mean():.1f}",
        "optimal amount": f"{part['optimal'].mean():.2f}",
        **{f"largest amount, {words}": f"{part[name].mean():.2f}" for name, words in TARGETS.items()},
    }


# %%
pd.DataFrame({key: summarise(part) for key, part in parents.groupby(["moved", "variant"], sort=False)}).T

# %% [markdown]
# ## Does the most follow the kurtosis?
#
# A mark for each parent. Lines lead from the usual parent of a seed, a star, to the others of that seed. Were kurtosis
# the cause, all of them would rise to the right and fall to the left.

# %% mystnb={"image": {"alt": "Most to prune against kurtosis, a mark a parent, by what was moved: two panels."}}
PANELS = {name: TARGETS[name] for name in ("most", "most_untuned")}
largest_amounts_figure(parents, PANELS, BASE)

# %% [markdown]
# By what was moved, means over variants and seeds: the factor on the kurtosis, the change of the most in points of
# amount, and the share of the parents in which both moved the same way.


# %% tags=["hide-input"]
def summarise_change(part: pd.DataFrame) -> dict[str, str]:
    """Return a row of the table."""
    change_cells = {
        f"change of the largest amount (percentage points), {TARGETS[name]}": f"{100 * part[name].mean():+z.1f}"
        for name in PANELS
    }
    direction_cells = {
        f"same direction as kurtosis, {TARGETS[name]}": f"{correlations.sign_agreement(part, name)['share']:.0%}"
        for name in PANELS
    }
    return {"factor on kurtosis": f"{np.exp(np.log(part['kurtosis']).mean()):,.2f}", **change_cells, **direction_cells}


# %%
changes = correlations.changes_from_base(parents)
pd.DataFrame({key: summarise_change(part) for key, part in changes.groupby(["moved", "variant"], sort=False)}).T

# %% [markdown]
# ## Which number orders them best?
#
# Spearman's rank correlations over all parents, with 95% intervals. Seeds of one variant are no independent witnesses,
# so the intervals come from drawing whole variants with replacement. With so few variants they are wide, and rightly
# so. The effective numbers are shares of weights that a rule would prune ([which rule says
# how much?](10_rules_compared.ipynb)).


# %% tags=["hide-input"]
def with_interval(
    statistic: Callable[[pd.DataFrame, str], dict], rows_used: pd.DataFrame, targets: Iterable[str] = PANELS
) -> dict:
    """Return a statistic of the parents for each target, with its bootstrap interval."""
    return {
        target: correlations.bootstrap_variants(
            rows_used, lambda part, target=target: statistic(part, target), seed, draws
        )
        for target in targets
    }


# %% mystnb={"image": {"alt": "Rank correlation of each number with the most to prune, and its interval."}}
found = with_interval(correlations.predictor_correlations, parents, TARGETS)
correlations_figure(
    {TARGETS[target]: {PREDICTORS[name]: each[name] for name in PREDICTORS} for target, each in found.items()}
)

# %% [markdown]
# Rescaled networks are a hard test: nobody trained their weights to be what they are. So here are the same correlations
# without them as well.

# %%
trained = parents[parents["moved"] != "rescaling"]
trained_only = with_interval(correlations.predictor_correlations, trained)
leads = with_interval(correlations.gains_over_kurtosis, parents)
table = {
    words: {
        **{f"{TARGETS[target]}": formatting.format_interval(*found[target][name], "+.2f") for target in PANELS},
        **{
            f"{TARGETS[target]}, without rescaled networks": formatting.format_interval(
                *trained_only[target][name], "+.2f"
            )
            for target in PANELS
        },
    }
    for name, words in PREDICTORS.items()
}
pd.DataFrame(table).T.fillna("")

# %% [markdown]
# ## What else moved
#
# Whatever moves the kurtosis moves other things, and they may be what counts. Here is how each goes with kurtosis, how
# it goes with the most after an epoch, and what is left of the correlation of kurtosis with the most once it is held
# fixed (partial rank correlation).

# %%
partial = with_interval(correlations.partial_correlations, parents)
columns = {name: parents[name].to_numpy(dtype=float) for name in (*CONFOUNDERS, "kurtosis", *PANELS)}
pd.DataFrame(
    {
        {**CONFOUNDERS, "all": "all of these", "nothing": "none"}[name]: {
            **{
                f"rank correlation with {words}": f"{correlations.correlation(columns[name], columns[other]):+z.2f}"
                if name in columns
                else ""
                for other, words in (("kurtosis", "kurtosis"), ("most", "the largest amount after an epoch"))
            },
            **{
                f"partial correlation of kurtosis, {words}": formatting.format_interval(*partial[target][name], "+.2f")
                for target, words in PANELS.items()
            },
        }
        for name in ("nothing", *CONFOUNDERS, "all")
    }
).T.fillna("")

# %% [markdown]
# ## What to conclude


# %% tags=["hide-input"]
def describe_trend(value: float, low: float, high: float) -> str:
    """Describe the sign of a correlation by its interval."""
    return "rises with" if low > 0 else "falls with" if high < 0 else "is not seen to follow"


def directions(target: str) -> str:
    """List the variants whose mean largest amount changed in the direction of the kurtosis, and the opposite ones."""
    means = (
        changes.assign(kurtosis=np.log(changes["kurtosis"])).groupby("variant", sort=False)[["kurtosis", target]].mean()
    )
    same = (np.sign(means["kurtosis"]) * np.sign(means[target])).to_dict()
    same_sign, opposite_sign = ([name for name, sign in same.items() if sign == way] for way in (1, -1))
    return f"along: {', '.join(same_sign) or 'none'}; the other way: {', '.join(opposite_sign) or 'none'}"


def improved_variants(target: str) -> str:
    """List the variants with a larger amount than the usual parent in every seed, with their own accuracy."""
    better = [(name, part) for name, part in changes.groupby("variant", sort=False) if part[target].min() > 0]
    base = parents.loc[parents["moved"] == BASE, "accuracy_parent"].mean()
    own = parents.groupby("variant")["accuracy_parent"].mean()
    gain_texts = [
        f"{name} ({100 * part[target].mean():+z.1f}\N{NO-BREAK SPACE}points; "
        f"own accuracy {100 * (own[name] - base):+z.1f})"
        for name, part in sorted(better, key=lambda each: -each[1][target].mean())
    ]
    return ", ".join(gain_texts) or "none"


def best_predictor(target: str) -> str:
    """Name the best predictor of the target, and whether it is significantly better than kurtosis."""
    values = {name: found[target][name][0] for name in PREDICTORS if found[target][name][0] == found[target][name][0]}
    if not values:
        return "none, for nothing varies"
    name = max(values, key=lambda each: values[each])
    lead = leads[target].get(name)
    clear = lead is not None and lead[1] > 0
    beside = "" if lead is None else f", {'clearly' if clear else 'not clearly'} better than kurtosis"
    return f"{PREDICTORS[name]}, {formatting.format_interval(*found[target][name], '+.2f')}{beside}"


within = with_interval(correlations.within_seed_correlation, parents)
same_direction = with_interval(correlations.sign_agreement, changes)


def conclusion(target: str, words: str) -> str:
    """Describe the results for one target."""
    alone, fixed = found[target]["kurtosis"], partial[target]["all"]
    estimates = {"alone": alone, "within": within[target]["kurtosis"], "fixed": fixed}
    estimates["trained"] = trained_only[target]["kurtosis"]
    texts = {name: formatting.format_interval(*each, "+.2f") or "undefined" for name, each in estimates.items()}
    return f"""
- **{words.capitalize()}** the most to prune {describe_trend(*alone)} kurtosis: rank correlation {texts["alone"]},
  over the variants of one seed {texts["within"]}.
  - Without the rescaled networks it {describe_trend(*trained_only[target]["kurtosis"])} kurtosis:
    {texts["trained"]}.
  - With the {len(CONFOUNDERS)} confounders held fixed it {describe_trend(*fixed)} kurtosis: {texts["fixed"]}.
  - Pushed from the usual parent, both went the same way in
    {formatting.format_interval(*same_direction[target]["share"], ".0%")} of the parents. On the means,
    {directions(target)}.
  - The best order of the parents is that of {best_predictor(target)}.
  - More than of the usual parent could be pruned, in every seed, of: {improved_variants(target)}."""


rescaling = changes[changes["moved"] == "rescaling"]
rescaling_text = "; ".join(
    f"{words} {100 * rescaling[target].mean():+z.1f}\N{NO-BREAK SPACE}points" for target, words in PANELS.items()
)
Markdown(
    "\n".join(conclusion(target, words) for target, words in PANELS.items())
    + f"""
- **Rescaling** multiplies the kurtosis by {rescaling["kurtosis"].min():.2f} to {rescaling["kurtosis"].max():.2f} and
  changes no output. The most to prune changed, on the mean: {rescaling_text}. Nothing that the network computes
  differed here, only which of its weights are the smallest, and how fine-tuning moves them."""
)

# %% tags=["hide-input"]
low, high = trained_only["most"]["kurtosis"][1:]
advice = (
    "among networks that were trained alike, take a higher kurtosis for a hint that more may go, and for no more"
    if low > 0
    else "among networks that were trained alike, take a higher kurtosis for a warning that less may go"
    if high < 0
    else "expect nothing of a higher kurtosis, even among networks of one architecture"
)
Markdown(f"What to do: {advice}.")

# %% [markdown]
# Whatever it says, a kurtosis is no amount, and those of networks that were scaled differently cannot be compared. To
# prune more, train for it: the lists above say which ways let more be pruned here, if any did, and at what price in the
# parent's own accuracy. Then measure the accuracy of the pruned network.
