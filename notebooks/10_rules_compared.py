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
device: str = "auto"  # of what is run here: "auto" (a GPU where there is one), "cpu", "cuda"
seed: int = 0  # of the bootstrap, and of a tiny sweep
cost: float = 0.01  # how much accuracy may be lost, as a share: 0.01 is one percentage point

# %% tags=["hide-input"]
import inspect

import numpy as np
import pandas as pd
from IPython.display import Markdown

from wmgp.experiments import history, inputs, results, rule_errors
from wmgp.experiments.fresh import small_sweep
from wmgp.figures.rules import rules_figure
from wmgp.rules import RULES

where = inputs.begin(preset, seed, device)
inputs.check_between("cost", cost, 0, 1)


def measured() -> pd.DataFrame:
    """A row for each rule and parent."""
    if preset == "default":
        folder = results.locate("published.json").parent
        sweeps = [rows for _, rows in results.sweeps(folder) if rows["epochs"].iloc[0] == 1]
        return rule_errors.compared(sweeps, history.records(folder / "parents"), folder / "parents", cost)
    found = small_sweep(preset, str(where), (seed, seed + 1))
    return rule_errors.compared([found.rows], found.parents, ".", cost)


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
# Means over the parents: the amount, its distance from the most that could be pruned after one epoch, and the points of
# accuracy that are lost there after that epoch and before it.


# %% tags=["hide-input"]
def told(part: pd.DataFrame) -> dict[str, str]:
    """A row of the table below."""
    known = part.dropna(subset=["amount"])
    if known.empty:
        return dict.fromkeys(("amount", "off by", "lost after an epoch", "lost before"), "")
    return {
        "amount": f"{known['amount'].mean():.2f}",
        "off by": f"{(known['amount'] - known['most']).mean():+z.2f}",
        "lost after an epoch": f"{100 * known['lost'].mean():+z.1f}",
        "lost before": f"{100 * known['lost_untuned'].mean():+z.1f}",
    }


# %%
pd.DataFrame({key: told(part) for key, part in rows.groupby(["network", "rule"], sort=False)}).T

# %% [markdown]
# ## Which rule beats the constant?
#
# The mean absolute error of a rule less that of *always eighty percent*, in points of amount: below zero the rule is
# better. A network counts once, however many parents it has. Intervals (95%) come from drawing the parents of each
# network with replacement; a network with a single parent adds nothing to their width.

# %%
TARGETS = {"most": "against the most after an epoch", "most_untuned": "against the most just after pruning"}
gains = {target: rule_errors.against_constant(rows, target, seed) for target in TARGETS}
points = {
    target: {rule: tuple(100 * x for x in found) for rule, found in each.items()} for target, each in gains.items()
}
pd.DataFrame(
    {words: {rule: results.worded(*found, "+.1f") for rule, found in points[t].items()} for t, words in TARGETS.items()}
)

# %% [markdown]
# ## What to conclude


# %% tags=["hide-input"]
def better(target: str) -> str:
    """The rules whose error is smaller than the constant's, clear of chance, the best one first."""
    ends = {rule: high if high == high else value for rule, (value, _, high) in points[target].items()}
    clear = {rule: points[target][rule][0] for rule, end in ends.items() if end < 0}
    named = [
        f"{rule} (by {-clear[rule]:.1f}\N{NO-BREAK SPACE}points)"
        for rule in sorted(clear, key=lambda rule: clear[rule])
    ]
    return ", ".join(named) or "none"


constant = rows[rows["rule"] == "constant"]
off = 100 * np.mean([(part["amount"] - part["most"]).abs().mean() for _, part in constant.groupby("network")])
utopia = points["most"]["utopia"]
stands = "is closer than" if utopia[2] < 0 else "is farther off than" if utopia[1] > 0 else "is not seen to differ from"
Markdown(f"""
- **After an epoch of fine-tuning** the constant is off by {off:.1f}\N{NO-BREAK SPACE}points of amount, on
  the mean over {len(parents)}\N{NO-BREAK SPACE}networks. Rules that are closer, clear of chance: {better("most")}.
- **The paper's rule** {stands} the constant: its error less the constant's is
  {results.worded(*utopia, "+.1f")}\N{NO-BREAK SPACE}points.
- **Where nothing is tuned** the rules that are closer than eighty percent, clear of chance, are:
  {better("most_untuned")}.
""")

# %% [markdown]
# What to do: take any of these numbers as the place to begin measuring, and none as the answer. If you will not
# fine-tune, begin at the amount that keeps a cosine of 0.99, or at a smaller one; eighty percent is then far too much.
