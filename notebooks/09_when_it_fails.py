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
table: str = "mobilenet_v2_cifar10.csv"  # the recorded sweep with fine-tuning, a file in results/
sample: str = "mobilenet_v2_imagenet-sample.csv"  # the recorded sweep without fine-tuning, a file in results/
device: str = "auto"  # device of runs in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of a tiny sweep
cost: float = 0.01  # allowed loss of accuracy as a fraction: 0.01 is one percentage point

# %% tags=["hide-input"]
import json

import pandas as pd
from IPython.display import Markdown, display

from studies.shared.sweep_figures import METHOD_LABELS, sweep_figure
from studies.when_it_fails import cost_of_rules
from wmgp.experiments import notebook
from wmgp.experiments.display_names import SCRATCH, display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.sweep.presets import ALL_METHODS
from wmgp.experiments.sweep.temporary_sweep import run_temporary_sweep
from wmgp.experiments.training import history
from wmgp.pareto import CAREFUL_COSINE

where = notebook.setup(preset, seed, device)
notebook.check_between("cost", cost, 0, 1)
Y = "accuracy_pruned"


def recorded(name: str) -> dict[str, pd.DataFrame]:
    """Return the rows of a table, grouped by the start of training (scratch or pretrained weights)."""
    return dict(list(tables.with_facts(tables.locate(name)).groupby("start", sort=False)))


def describe(rows: pd.DataFrame, name: str) -> str:
    """Describe recorded rows: number, network, data, device and date."""
    runs = provenance(tables.locate(name))
    facts = [runs[run] for run in dict.fromkeys(rows["run"])]
    where_run = ", ".join(dict.fromkeys(f"{f['device']} ({f['cpu']}), {f['date']}" for f in facts))
    return f"{len(rows)} rows, {display_name(facts[0]['network'], facts[0]['data'], facts[0]['start'])}; {where_run}"


if preset == "default":
    [untuned], kinds = recorded(sample).values(), recorded(table)
    scratch = kinds.pop(SCRATCH, None)
    [tuned] = kinds.values()
    parents = history.read_parent_records(tables.locate(table).parent / "parents")
    description = f"Without fine-tuning: {describe(untuned, sample)}. With it: {describe(tuned, table)}"
    description += f"; {describe(scratch, table)}." if scratch is not None else "."
else:
    found = run_temporary_sweep(preset, str(where), (seed,), methods=ALL_METHODS)
    untuned, tuned, scratch, parents = found.rows, found.rows, found.rows, found.parents
    description = f"{display_name('lenet5', 'digits')}, run here on {where.type}."
names = {method: METHOD_LABELS[method] for method in METHOD_LABELS if method in set(untuned["method"])}
Markdown(description)

# %% [markdown]
# ## Whose layers differ
#
# $k_2$ of every network that was trained for this book, next to MobileNetV2 with its ImageNet weights.


# %% tags=["hide-input"]
def k2(record: dict) -> float | None:
    """Return the kurtosis of kurtoses of a recorded parent, or None if undefined."""
    return record["trained"]["analysis"]["kurtosis_of_kurtoses"]


# %%
families: dict[str, list[dict]] = {}
for record in parents:
    families.setdefault(display_name(record["network"], record["data"], record["start"]), []).append(record)
pd.DataFrame(
    {
        name: {
            "tensors": str(len(group[0]["trained"]["analysis"]["tensors"])),
            "kurtosis of kurtoses": formatting.format_mean_range([k2(each) for each in group], ".2f"),
        }
        for name, group in families.items()
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
sweep_figure(untuned, ["amount", "cosine_pruned"], ["accuracy_pruned"], {"accuracy_pruned": 0})


# %% tags=["hide-input"]
def first_parent(rows: pd.DataFrame) -> dict:
    """Return the record of the rows' first parent."""
    return next(each for each in parents if each["parent_sha256"] == rows["parent_sha256"].iloc[0])


def outcome(rows: pd.DataFrame, y: str) -> pd.DataFrame:
    """Return by method the accuracy lost (points) at each recommended amount, and the largest amount within `cost`."""
    recommended, largest = (
        cost_of_rules.recommended_amounts(first_parent(rows)),
        cost_of_rules.largest_amounts(rows, cost, y),
    )
    table = {
        names[method]: {f"{rule}: {recommended[rule]:.1%}": f"{100 * share:+z.1f}" for rule, share in lost.items()}
        | {f"largest amount within a loss of {cost:.1%}": f"{largest[method]:.0%}"}
        for method, lost in cost_of_rules.accuracy_lost(rows, recommended, y).items()
    }
    return pd.DataFrame(table).T.reindex([name for name in names.values() if name in table])


# %%
outcome(untuned, Y)

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
if scratch is not None:
    display(sweep_figure(scratch, ["amount", "cosine_pruned"], ["accuracy_pruned", "accuracy"], {"accuracy": 0}))

# %%
outcome(scratch, "accuracy") if scratch is not None else Markdown("No such rows were recorded.")

# %% [markdown]
# ## Is any layer cut off?
#
# The share of its weights that the tensor keeps which loses most. Where it is zero, a tensor is gone, be it a matrix or
# a few shifts of batch normalisation.

# %% mystnb={"image": {"alt": "Smallest share of weights that any tensor keeps, against amount, by method."}}
sweep_figure(tuned, ["amount"], ["min_survival"], {"min_survival": 0})


# %% tags=["hide-input"]
first_emptied = {
    names[method]: {
        "first tensor emptied at": "never" if row is None else f"{row['amount']:.0%}",
        "accuracy just after pruning": "" if row is None else f"{row['accuracy_pruned']:.1%}",
        "accuracy after fine-tuning": "" if row is None else f"{row['accuracy']:.1%}",
    }
    for method, row in cost_of_rules.first_emptied_tensor(tuned).items()
}

# %%
pd.DataFrame(first_emptied).T.reindex(names.values())

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
SMALL_AMOUNT = 0.1  # an amount that should cost no accuracy


def format_accuracy(rows: pd.DataFrame, method: str, amount: float, y: str) -> str:
    """Format the accuracy of a method at an amount."""
    return f"{cost_of_rules.accuracy_at(rows, method, amount, y):.1%}"


def best_methods(rows: pd.DataFrame, y: str) -> str:
    """Name the methods with the largest amount within the allowed cost, and give it for global L1."""
    largest = cost_of_rules.largest_amounts(rows, cost, y)
    best = [names[method] for method, amount in largest.items() if amount == max(largest.values())]
    return f"{' and '.join(best)} ({max(largest.values()):.0%}; global L1 {largest['l1']:.0%})"


def scratch_text() -> str:
    """Describe the optimal amount of the network trained from scratch, and its accuracy after fine-tuning."""
    if scratch is None:
        return ""
    record, parent_accuracy = first_parent(scratch), f"{scratch['accuracy_parent'].iloc[0]:.1%}"
    amount = cost_of_rules.recommended_amounts(record)["optimal"]
    k2_range, left = (
        formatting.format_mean_range([k2(record)], ".2f"),
        format_accuracy(scratch, "l1", amount, "accuracy"),
    )
    return f"- **From scratch** $k_2$ is {k2_range}, and the optimal {amount:.0%} leaves {left} of {parent_accuracy}.\n"


recommended_untuned, recommended_tuned = (
    cost_of_rules.recommended_amounts(first_parent(rows)) for rows in (untuned, tuned)
)
parent_accuracy, tuned_parent_accuracy = (f"{rows['accuracy_parent'].iloc[0]:.1%}" for rows in (untuned, tuned))
emptied_amount, emptied_accuracy, _ = first_emptied[names["l1"]].values()
emptied_text = (
    f"the first tensor is gone at {emptied_amount}, where {emptied_accuracy} are left of {tuned_parent_accuracy}"
    if emptied_accuracy
    else "none is lost"
)

Markdown(f"""
- **The optimal amount destroys it.** Global L1 at {recommended_untuned["optimal"]:.0%} leaves
  {format_accuracy(untuned, "l1", recommended_untuned["optimal"], Y)} of
  {parent_accuracy} where nothing is tuned. With one epoch of fine-tuning, {recommended_tuned["optimal"]:.0%} leaves
  {format_accuracy(tuned, "l1", recommended_tuned["optimal"], "accuracy")} of {tuned_parent_accuracy}.
{scratch_text()}- **The safe amount.** At {recommended_untuned["safe"]:.1%} global L1 leaves
{format_accuracy(untuned, "l1", recommended_untuned["safe"], Y)} untuned, and at {recommended_tuned["safe"]:.1%} it
leaves {format_accuracy(tuned, "l1", recommended_tuned["safe"], "accuracy")} with one epoch.
- **A cosine of {CAREFUL_COSINE} promises nothing.** It is the advice where no fine-tuning follows. Here it prunes
  {recommended_untuned[cost_of_rules.COSINE_RULE]:.0%} and leaves
  {format_accuracy(untuned, "l1", recommended_untuned[cost_of_rules.COSINE_RULE], Y)}.
- **A lost tensor is no alarm by itself.** Under global L1, before any
  fine-tuning, {emptied_text}. [Shifts of batch normalisation that were as good as
  zero before](03_kurtosis.ipynb) go first.
- **By layers, but how?** Pruning {SMALL_AMOUNT:.0%} of each tensor leaves
  {format_accuracy(untuned, "l1_local", SMALL_AMOUNT, Y)}, most likely since the paper's pool makes it prune batch
  normalisation's few parameters as well. Scores that are normalised by tensor leave
  {format_accuracy(untuned, "l1_normalized", SMALL_AMOUNT, Y)}, LAMP
  {format_accuracy(untuned, "lamp", SMALL_AMOUNT, Y)}, global L1 {format_accuracy(untuned, "l1", SMALL_AMOUNT, Y)}.
- **The way out.** Most can be pruned at a cost of {cost:.1%} by {best_methods(untuned, Y)} without tuning, and by
  {best_methods(tuned, "accuracy")} with one epoch.
""")

# %% [markdown]
# What to do: where $k_2$ is high, do not prune by one threshold. Normalise the scores by tensor, or use LAMP, and
# measure. None of these accuracies could have been read off the weights.
