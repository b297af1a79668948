# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When it fails: MobileNetV2
#
# The paper warns of its own method. Where the layers of a network differ much, one threshold for all of them takes
# whole layers away, and the network is cut in two. The measure of how much they differ is the *kurtosis of
# kurtoses*, $k_2$: high in MobileNetV2, low in networks that behave well. The advice is to prune less, by the *safe*
# amount, or to prune each layer by itself.
#
# [The notebook on kurtosis](03_kurtosis.ipynb) looked at the weights of MobileNetV2. Here its accuracy is asked: how
# much could be pruned, how much did the rules say, and which method would have been the way out?
#
# ```{verdicts} C8
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded rows), "quick" (LeNet-5 on digits, two minutes) or "tiny" (seconds)
table: str = "mobilenet_v2_cifar10.csv"  # the recorded sweep with fine-tuning, a file of results/
sample: str = "mobilenet_v2_imagenet-sample.csv"  # the recorded sweep without, a file of results/
device: str = "auto"  # of what is run here: "auto" (a GPU where there is one), "cpu", "cuda"
seed: int = 0  # of a tiny sweep
cost: float = 0.01  # how much accuracy may be lost, as a share: 0.01 is one percentage point

# %% tags=["hide-input"]
import json

import pandas as pd
from IPython.display import Markdown, display

from studies.shared.sweep_figures import METHODS, sweep_figure
from studies.when_it_fails import advice
from wmgp.experiments import notebook
from wmgp.experiments.display_names import SCRATCH, display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.sweep.presets import ALL_METHODS
from wmgp.experiments.sweep.temporary_sweep import small_sweep
from wmgp.experiments.training import history
from wmgp.pareto import CAREFUL_COSINE

where = notebook.setup(preset, seed, device)
notebook.check_between("cost", cost, 0, 1)
Y = "accuracy_pruned"


def recorded(name: str) -> dict[str, pd.DataFrame]:
    """The rows of a table, by what the network's training began from."""
    return dict(list(tables.with_facts(tables.locate(name)).groupby("start", sort=False)))


def of(rows: pd.DataFrame, name: str) -> str:
    """What recorded rows are of."""
    runs = provenance(tables.locate(name))
    facts = [runs[run] for run in dict.fromkeys(rows["run"])]
    where_run = ", ".join(dict.fromkeys(f"{f['device']} ({f['cpu']}), {f['date']}" for f in facts))
    return f"{len(rows)} rows, {display_name(facts[0]['network'], facts[0]['data'], facts[0]['start'])}; {where_run}"


if preset == "default":
    [bare], kinds = recorded(sample).values(), recorded(table)
    fresh = kinds.pop(SCRATCH, None)
    [tuned] = kinds.values()
    parents = history.records(tables.locate(table).parent / "parents")
    said = f"Without fine-tuning: {of(bare, sample)}. With it: {of(tuned, table)}"
    said += f"; {of(fresh, table)}." if fresh is not None else "."
else:
    found = small_sweep(preset, str(where), (seed,), methods=ALL_METHODS)
    bare, tuned, fresh, parents = found.rows, found.rows, found.rows, found.parents
    said = f"{display_name('lenet5', 'digits')}, run here on {where.type}."
names = {method: METHODS[method] for method in METHODS if method in set(bare["method"])}
Markdown(said)

# %% [markdown]
# ## Whose layers differ
#
# $k_2$ of every network that was trained for this book, next to MobileNetV2 with its ImageNet weights.


# %% tags=["hide-input"]
def k2(record: dict) -> float | None:
    """The kurtosis of kurtoses of a recorded parent, where it is defined."""
    return record["trained"]["analysis"]["kurtosis_of_kurtoses"]


# %%
families: dict[str, list[dict]] = {}
for record in parents:
    families.setdefault(display_name(record["network"], record["data"], record["start"]), []).append(record)
pd.DataFrame(
    {
        name: {
            "tensors": str(len(alike[0]["trained"]["analysis"]["tensors"])),
            "kurtosis of kurtoses": formatting.format_mean_range([k2(each) for each in alike], ".2f"),
        }
        for name, alike in families.items()
    }
).T

# %% tags=["hide-input"]
published = json.loads(tables.locate("published.json").read_text())["kurtosis_of_kurtoses"]
Markdown(
    f"The paper has {published['mobilenet_v2']:.2f} for MobileNetV2, and for networks that behave well "
    f"{published['well_behaved_low']:.2f} to {published['well_behaved_high']:.2f}."
)

# %% [markdown]
# ## ImageNet weights, pruned and nothing else
#
# The network as torchvision gives it, on a thousand images of ImageNet, one of each class. Maybe it was trained on
# them, so the height of the curves is not its accuracy on new images. What counts is where they fall.

# %% mystnb={"image": {"alt": "Accuracy of MobileNetV2 on the sample just after pruning by five methods, on amount."}}
sweep_figure(bare, ["amount", "cosine_pruned"], ["accuracy_pruned"], {"accuracy_pruned": 0})


# %% tags=["hide-input"]
def of_parent(rows: pd.DataFrame) -> dict:
    """The record of the first parent of these rows."""
    return next(each for each in parents if each["parent_sha256"] == rows["parent_sha256"].iloc[0])


def outcome(rows: pd.DataFrame, y: str) -> pd.DataFrame:
    """Accuracy lost (points) at each recommended amount, by method, and the largest amount that was cheap enough."""
    asked, most = advice.recommended(of_parent(rows)), advice.most(rows, cost, y)
    table = {
        names[method]: {f"{rule}: {asked[rule]:.1%}": f"{100 * share:+z.1f}" for rule, share in lost.items()}
        | {f"most at a cost of {cost:.1%}": f"{most[method]:.0%}"}
        for method, lost in advice.lost(rows, asked, y).items()
    }
    return pd.DataFrame(table).T.reindex([name for name in names.values() if name in table])


# %%
outcome(bare, Y)

# %% [markdown]
# A column for each rule with the amount it recommends, a row for each method, and in it the points of accuracy that
# are lost there, linear between the measured amounts. The last column is what a rule should have said.
#
# ## After one epoch
#
# The same network with ten outputs, trained on CIFAR-10 from those weights, then pruned and trained for one epoch more.

# %% mystnb={"image": {"alt": "Accuracy of MobileNetV2 on CIFAR-10 before and after fine-tuning, by five methods."}}
sweep_figure(tuned, ["amount", "cosine_pruned"], ["accuracy_pruned", "accuracy"], {"accuracy": 0})

# %%
outcome(tuned, "accuracy")

# %% [markdown]
# ## From scratch
#
# Is it the architecture, or what ImageNet made of it? The same network trained on CIFAR-10 from random weights, by L1
# and at random, with one epoch again.

# %% mystnb={"image": {"alt": "MobileNetV2 from scratch: accuracy before and after fine-tuning, two methods."}}
if fresh is not None:
    display(sweep_figure(fresh, ["amount", "cosine_pruned"], ["accuracy_pruned", "accuracy"], {"accuracy": 0}))

# %%
outcome(fresh, "accuracy") if fresh is not None else Markdown("There are no such rows.")

# %% [markdown]
# ## Is any layer cut off?
#
# The share of its weights that the tensor keeps which loses most. Where it is zero, a tensor is gone, be it a matrix or
# a few shifts of batch normalisation.

# %% mystnb={"image": {"alt": "Smallest share of weights that any tensor keeps, against amount, by method."}}
sweep_figure(tuned, ["amount"], ["min_survival"], {"min_survival": 0})


# %% tags=["hide-input"]
gone = {
    names[method]: {
        "a tensor is gone at": "never" if row is None else f"{row['amount']:.0%}",
        "accuracy just after": "" if row is None else f"{row['accuracy_pruned']:.1%}",
        "accuracy an epoch later": "" if row is None else f"{row['accuracy']:.1%}",
    }
    for method, row in advice.first_loss(tuned).items()
}

# %%
pd.DataFrame(gone).T.reindex(names.values())

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
SMALL = 0.1  # an amount at which nothing should happen yet


def left(rows: pd.DataFrame, method: str, amount: float, y: str) -> str:
    """The accuracy left at an amount, as the text says it."""
    return f"{advice.left(rows, method, amount, y):.1%}"


def way_out(rows: pd.DataFrame, y: str) -> str:
    """The methods with the largest amount at the allowed cost, and that of global L1."""
    most = advice.most(rows, cost, y)
    best = [names[method] for method, amount in most.items() if amount == max(most.values())]
    return f"{' and '.join(best)} ({max(most.values()):.0%}; global L1 {most['l1']:.0%})"


def from_scratch() -> str:
    """What the weights of a network trained from scratch recommend, and what is left there after an epoch."""
    if fresh is None:
        return ""
    record, whole = of_parent(fresh), f"{fresh['accuracy_parent'].iloc[0]:.1%}"
    amount = advice.recommended(record)["optimal"]
    tails, there = formatting.format_mean_range([k2(record)], ".2f"), left(fresh, "l1", amount, "accuracy")
    return f"- **From scratch** $k_2$ is {tails}, and the optimal {amount:.0%} leaves {there} of {whole}.\n"


at, tuned_at = (advice.recommended(of_parent(rows)) for rows in (bare, tuned))
whole, tuned_whole = (f"{rows['accuracy_parent'].iloc[0]:.1%}" for rows in (bare, tuned))
when, then, _ = gone[names["l1"]].values()
alarm = f"the first tensor is gone at {when}, where {then} are left of {tuned_whole}" if then else "none is lost"

Markdown(f"""
- **The optimal amount destroys it.** Global L1 at {at["optimal"]:.0%} leaves {left(bare, "l1", at["optimal"], Y)} of
  {whole} where nothing is tuned. With one epoch of fine-tuning, {tuned_at["optimal"]:.0%} leaves
  {left(tuned, "l1", tuned_at["optimal"], "accuracy")} of {tuned_whole}.
{from_scratch()}- **The safe amount.** At {at["safe"]:.1%} global L1 leaves {left(bare, "l1", at["safe"], Y)} untuned,
  and at {tuned_at["safe"]:.1%} it leaves {left(tuned, "l1", tuned_at["safe"], "accuracy")} with one epoch.
- **A cosine of {CAREFUL_COSINE} promises nothing.** It is the advice where no fine-tuning follows. Here it prunes
  {at[advice.AT_COSINE]:.0%} and leaves {left(bare, "l1", at[advice.AT_COSINE], Y)}.
- **A lost tensor is no alarm by itself.** Under global L1, before any
  fine-tuning, {alarm}. [Shifts of batch normalisation that were as good as
  zero before](03_kurtosis.ipynb) go first.
- **By layers, but how?** Pruning {SMALL:.0%} of each tensor leaves {left(bare, "l1_local", SMALL, Y)}, most likely
  since the paper's pool makes it prune batch normalisation's few parameters as well. Scores that are normalised by
  tensor leave {left(bare, "l1_normalized", SMALL, Y)}, LAMP {left(bare, "lamp", SMALL, Y)}, global L1
  {left(bare, "l1", SMALL, Y)}.
- **The way out.** Most can be pruned at a cost of {cost:.1%} by {way_out(bare, Y)} without tuning, and by
  {way_out(tuned, "accuracy")} with one epoch.
""")

# %% [markdown]
# What to do: where $k_2$ is high, do not prune by one threshold. Normalise the scores by tensor, or use LAMP, and
# measure. None of these accuracies could have been read off the weights.
