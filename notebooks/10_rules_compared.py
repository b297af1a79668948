# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which rule says how much?
#
# The paper's rule is not the only one that looks at the weights alone and says how much to prune. Some are older, some
# newer, and one is the simplest of all: always eighty percent. Each is held here against what could in fact be pruned,
# parent by parent. The question is which of them beats the constant.
#
# ```{verdicts} C7
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded parents and rows), "quick" (digits, two minutes) or "tiny" (seconds)
device: str = "auto"  # device of runs in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of a tiny sweep
cost: float = 0.01  # allowed loss of accuracy as a fraction: 0.01 is one percentage point

# %% tags=["hide-input"]
import inspect

import numpy as np
import pandas as pd
from IPython.display import Markdown

from studies.rules_compared.figure import rules_figure
from wmgp.experiments import notebook
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.statistics import intervals, rule_errors
from wmgp.experiments.sweep.temporary_sweep import run_temporary_sweep
from wmgp.experiments.training import history
from wmgp.rules import RULES

where = notebook.setup(preset, seed, device)
notebook.check_between("cost", cost, 0, 1)


def measured() -> pd.DataFrame:
    """Return one row per rule and parent."""
    if preset == "default":
        folder = tables.locate("published.json").parent
        sweeps = [rows for _, rows in tables.sweeps(folder) if rows["epochs"].iloc[0] == 1]
        return rule_errors.compare_rules(
            sweeps, history.read_parent_records(folder / "parents"), folder / "parents", cost
        )
    found = run_temporary_sweep(preset, str(where), (seed, seed + 1))
    return rule_errors.compare_rules([found.rows], found.parents, ".", cost)


rows = measured()
parents = rows.groupby("network", sort=False)["parent_sha256"].nunique()
Markdown("Parents: " + "; ".join(f"{name} ({number})" for name, number in parents.items()) + ".")

# %% [markdown]
# ## The rules
#
# With the source of each formula. Three of them are one family: with scores $|w|^s$, the *effective number* of weights
# is $(\sum |w|^s)^2 / \sum |w|^{2s}$, and so many are kept. The PQ index {cite:p}`diao2023pruning` has $s = \tfrac12$,
# Effective Model Pruning {cite:p}`wang2025effective` $s = 1$, and $s = 2$ is the inverse of the kurtosis about zero.
# Two come from elsewhere: the knee of a curve {cite:p}`satopaa2011finding`, and the threshold that parts a histogram
# {cite:p}`otsu1979threshold`.

# %% tags=["hide-input"]
Markdown("\n".join(f"- **{name}**: {inspect.getdoc(rule).splitlines()[0]}" for name, rule in RULES.items()))

# %% [markdown]
# ## What they say, and what could be pruned
#
# A dot for each parent. The lines are the largest amounts that L1 pruning could remove at the allowed cost. Where a
# network has no dot for a rule, its weights were not kept, and its record does not tell.

# %% mystnb={"image": {"alt": "What each rule would prune of each network, beside the most that could be pruned."}}
rules_figure(rows)

# %% [markdown]
# ## How far off, and at what cost
#
# Means over the parents, a table each: how far the amount lies from the most that could be pruned after one epoch, in
# points of amount; and the points of accuracy that are lost there, after that epoch and before it. A cell is empty
# where a rule has no answer, or one beyond the measured amounts.

# %% tags=["hide-input"]
HEADERS = {
    "error": "error of the amount (percentage points)",
    "lost": "accuracy lost after fine-tuning (percentage points)",
    "lost_untuned": "accuracy lost just after pruning (percentage points)",
}
rows["error"] = rows["amount"] - rows["most"]


def by_network(y: str) -> pd.DataFrame:
    """Return means of a column in percentage points, one row per network and one column per rule."""
    means = 100 * rows.pivot_table(index="network", columns="rule", values=y, sort=False)
    cells = means.map(lambda value: formatting.format_interval(value, np.nan, np.nan, "+.1f"))
    return cells.reindex(columns=list(RULES), fill_value="").rename_axis(index=None, columns=HEADERS[y])


# %%
by_network("error")

# %%
by_network("lost")

# %%
by_network("lost_untuned")

# %% [markdown]
# ## Which rule beats the constant?
#
# The mean absolute error of a rule less that of *always eighty percent*, in points of amount: below zero the rule is
# better. A network counts once, however many parents it has. Intervals (95%) are Student's t over the networks: they
# tell what another network may bring, and not only another parent.

# %%
TARGETS = {
    "most": "after fine-tuning: error − constant's error (percentage points)",
    "most_untuned": "just after pruning: error − constant's error (percentage points)",
}
error_differences = {
    target: rule_errors.against_constant(rows, target) for target in TARGETS
}  # fractions, one value per network
points = {
    target: {rule: intervals.mean_interval(100 * each) for rule, each in found.items() if each.size}
    for target, found in error_differences.items()
}
pd.DataFrame(
    {
        words: {rule: formatting.format_interval(*found, "+.1f") for rule, found in points[t].items()}
        for t, words in TARGETS.items()
    }
    | {"networks": {rule: str(each.size) for rule, each in error_differences["most"].items() if each.size}}
)

# %% [markdown]
# ## What to conclude


# %% tags=["hide-input"]
def better_rules(target: str) -> str:
    """List the rules whose error is significantly smaller than the constant's, best first."""
    ends = {rule: high if high == high else value for rule, (value, _, high) in points[target].items()}
    clear_rules = {rule: points[target][rule][0] for rule, end in ends.items() if end < 0}
    named = [
        f"{rule} (by {-clear_rules[rule]:.1f}\N{NO-BREAK SPACE}points)"
        for rule in sorted(clear_rules, key=lambda rule: clear_rules[rule])
    ]
    return ", ".join(named) or "none"


constant = rows[rows["rule"] == "constant"]
constant_error = 100 * np.mean(
    [(part["amount"] - part["most"]).abs().mean() for _, part in constant.groupby("network")]
)
utopia, n_closer = points["most"]["utopia"], int((error_differences["most"]["utopia"] < 0).sum())
comparison_text = (
    "is closer than" if utopia[2] < 0 else "is farther off than" if utopia[1] > 0 else "is not seen to differ from"
)
Markdown(f"""
- **After an epoch of fine-tuning** the constant is off by {constant_error:.1f}\N{NO-BREAK SPACE}points of amount, on
  the mean over {len(parents)}\N{NO-BREAK SPACE}networks. Rules that are closer, clear of chance:
  {better_rules("most")}.
- **The paper's rule** {comparison_text} the constant: its error less the constant's is
  {formatting.format_interval(*utopia, "+.1f")}\N{NO-BREAK SPACE}points, and it is the closer one in {n_closer} of
  {len(error_differences["most"]["utopia"])}\N{NO-BREAK SPACE}networks.
- **Where nothing is tuned** the rules that are closer than eighty percent, clear of chance, are:
  {better_rules("most_untuned")}.
""")

# %% [markdown]
# What to do: take any of these numbers as the place to begin measuring, and none as the answer. If you will not
# fine-tune, begin at the amount that keeps a cosine of 0.99, or at a smaller one; eighty percent is then far too much.
