# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Weights that see nothing
#
# On images of 32 by 32 pixels, most of ResNet18's weights multiply nothing but padding. They cannot change an output.
# Training only shrinks them, by weight decay, and L1 pruning removes many of them. The amount at cosine 0.99 therefore
# depends on how long the network was trained with weight decay.

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded networks) or "tiny" (networks trained on a few digits, in seconds)
device: str = "auto"  # unused: "auto", "cpu" or "cuda"
seed: int = 0  # of the networks of "tiny"

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from torch import nn

import wmgp
from studies.unseen_weights import measure
from studies.unseen_weights.figure import (
    PAPER_AMOUNT,
    accuracies_figure,
    gap,
    share_figure,
    shrinking_curve,
    shrinking_figure,
)
from wmgp.experiments import notebook
from wmgp.experiments.data import load
from wmgp.experiments.display_names import NETWORK_NAMES
from wmgp.experiments.results import tables

notebook.setup(preset, seed, device, notebook.PRESETS)
LARGE_STEM, SMALL_STEM = "resnet18_w16", "resnet18_w16_stem32"
NAMES = {LARGE_STEM: "narrow ResNet18", SMALL_STEM: "narrow ResNet18, 32 by 32 stem"}
TABLES = ("counts", "parents", "networks", "prunes")


def measure_tiny() -> tuple[pd.DataFrame, ...]:
    """Return the four tables for networks that are trained on 64 digits; the first one stands for the parents."""
    digits = load("digits", True).first(64)
    images = replace(digits, images=digits.images.repeat(1, 3, 1, 1))
    rows, pruned = [], []
    for network, epochs in ((LARGE_STEM, 1), (LARGE_STEM, 2), (SMALL_STEM, 1)):
        row, more, _ = measure.measure_network(network, epochs, images, images, seed, None, (0.0, 0.2, 0.5, 0.8))
        rows.append(row)
        pruned += more
    counted = pd.DataFrame([measure.count("lenet5", 28), measure.count(LARGE_STEM, 32)])
    first = rows[0] | {"parameters": rows[0]["n_all"], "at_099_recorded": rows[0]["at_099_all"]}
    parents = pd.DataFrame(
        [first | {"share_at_0.2": pruned[1]["unseen_share"], "share_at_0.5": pruned[2]["unseen_share"]}]
    )
    return counted, parents, pd.DataFrame(rows), pd.DataFrame(pruned)


if preset == "default":
    recorded = (pd.read_csv(tables.locate(f"unseen_{name}.csv")) for name in TABLES)
    counts, parents, networks, prunes = recorded
else:
    counts, parents, networks, prunes = measure_tiny()
parent = parents.drop(columns=["run"], errors="ignore").mean(numeric_only=True)
large = networks[networks["network"] == LARGE_STEM].sort_values(by="epochs")
longest = large.iloc[-1]
middle = large[large["epochs"] <= 15].iloc[-1]

# %% mystnb={"image": {"alt": "Amount at cosine 0.99 against the norm of the unseen weights: it rises as they shrink."}}
shrinking_figure(
    {"ResNet18, closed form": parent, f"narrow, {middle['epochs']} epochs, closed form": middle},
    {
        "ResNet18 as recorded": (parent["decay"], parent["at_099_recorded"]),
        **{f"narrow, {row['epochs']} epochs": (row["decay"], row["at_099_all"]) for _, row in large.iterrows()},
    },
    "Weights that see nothing decide how much to prune",
)

# %% tags=["hide-input"]
factors, amounts = shrinking_curve(parent)
reaches_paper = float(np.interp(PAPER_AMOUNT, amounts, factors)) if amounts.max() > PAPER_AMOUNT else float("nan")
epochs_needed = 15 * np.log(reaches_paper) / np.log(parent["decay"])
Markdown(
    f"*Curves: only the unseen weights shrink. Dots: trained networks. Of the recorded ResNet18 parents "
    f"({len(parents)} seeds), {parent['unseen'] / parent['parameters']:.1%} of the weights see nothing. After 15 "
    f"epochs their norm is {parent['decay']:.2f} of the initial norm, they hold {parent['energy_share']:.1%} of the "
    f"sum of squares, and cosine 0.99 prunes {parent['at_099_recorded']:.1%}. It would prune the paper's "
    f"{PAPER_AMOUNT:.0%} at a norm of {reaches_paper:.2f}, which the same recipe reaches after about "
    f"{epochs_needed:.0f} epochs.*"
)

# %% [markdown]
# ## The proof in two lines
#
# A 3 by 3 kernel with padding 1 on a map of one pixel: only its centre (0) meets the pixel, the other weights (1) see
# nothing.

# %%
convolution = nn.Conv2d(1, 1, 3, padding=1)
wmgp.unseen(convolution, torch.zeros(1, 1, 1, 1))["weight"].int()[0, 0]

# %% [markdown]
# `wmgp.unseen` finds the weights whose gradient is zero for every input of a shape, by the structure of the network. It
# draws random weights and inputs and replaces ReLU by a leaky ReLU, so that a dead unit does not count. The last stage
# of ResNet18 has maps of one pixel if the images have 32 by 32 pixels.
#
# ## Expectations
#
# Written before the runs below. A first look at one full-size ResNet18 (15 epochs, 81.4%) had come earlier.
#
# 1. A network sees all its weights once its last maps have more than one pixel: ResNet18 at 64 by 64 pixels.
# 2. Pruning exactly the unseen weights changes no prediction.
# 3. Weight decay shrinks unseen weights, and nothing else moves them: their norm falls by the factor that the SGD
#    recursion gives, to 1 part in 1,000. L1 pruning then takes more of them than their share of the weights.
# 4. Without the unseen weights, the amount at cosine 0.99 and the optimal amount fall, and the kurtosis falls.
# 5. At equal cosine, L1 is more accurate than random pruning. If the cosine counts seen weights only, this gap falls by
#    about 40% (from 64 to 38 points in the first look), not to zero.
# 6. With a stem for 32 by 32 pixels, no weight is unseen, and the gap of L1 to random pruning is smaller.
# 7. Longer training with weight decay raises the amount at cosine 0.99, to within 5 points as the closed form says, in
#    which only the unseen weights shrink.
#
# ## What was measured
#
# - **The recorded ResNet18 parents**, without training: their trained weights were too large to keep, but an unseen
#   weight is its initial value, which the seed gives, times the decay of the recipe. The recorded front gives the rest.
# - **Narrow networks**: ResNet18 with a quarter of the width, one seed, 10,000 training images of CIFAR-10, accuracy on
#   1,000 test images. A full-size run costs over half an hour of a CPU core. They show the mechanism, not its size in
#   the paper's networks.
#
# ## How many, in which network?
#
# *Unseen*: the weight cannot change an output. *Through sums*: it acts only through its sum with others, because their
# inputs are always equal; counted are the redundant ones. VGG11's first linear layer receives 49 copies of 512 numbers.

# %% tags=["hide-input"]
shown = counts.drop(columns=["run"], errors="ignore").assign(share=counts["unseen"] / counts["parameters"])
shown["network"] = shown["network"].map(NETWORK_NAMES | NAMES)
shown = shown.rename(columns={"size": "pixels", "summed": "through sums", "share": "unseen share"})

# %%
cells = shown.set_index(["network", "pixels"])
cells.apply(lambda column: column.map("{:.1%}".format if column.name == "unseen share" else "{:,}".format))

# %% [markdown]
# ## Only weight decay moves them
#
# Without a gradient, SGD with momentum multiplies a weight by a factor that depends on the recipe alone, about
# $e^{-\lambda \sum \eta / (1 - \mu)}$ for weight decay $\lambda$, rates $\eta$ and momentum $\mu$. The table compares
# the exact recursion with the trained networks, and the accuracy with that after pruning exactly the unseen weights.

# %% tags=["hide-input"]
COLUMNS = {
    "epochs": "epochs",
    "decay": "norm / initial",
    "decay_predicted": "closed form",
    "energy_share": "energy share",
    "accuracy": "accuracy",
    "accuracy_without": "unseen pruned",
}

# %%
named = networks.assign(network=networks["network"].map(NAMES)).set_index("network")
named[list(COLUMNS)].rename(columns=COLUMNS).round(4)

# %% [markdown]
# ## Their share of each L1 prune

# %% mystnb={"image": {"alt": "Unseen share of the weights that L1 prunes against the amount, by epochs of training."}}
l1 = prunes[(prunes["method"] == "l1") & (prunes["amount"] > 0)]
mine = l1[l1["network"] == LARGE_STEM]
share_figure(
    {f"{epochs} epochs": part for epochs, part in mine.groupby("epochs")},
    longest["unseen"] / longest["n_all"],
    "Most of what L1 prunes sees nothing",
)

# %% tags=["hide-input"]
Markdown(
    f"*Narrow ResNet18. In the recorded ResNet18 parents, {parent['share_at_0.2']:.0%} of an L1 prune of 20% and "
    f"{parent['share_at_0.5']:.0%} of a prune of 50% are unseen weights.*"
)

# %% [markdown]
# ## With and without them
#
# The paper's numbers for all weights of each narrow network, and for its seen weights alone.

# %% tags=["hide-input"]
NUMBERS = {"kurtosis": "kurtosis", "k2": "kurtosis of kurtoses", "optimal": "optimal amount", "safe": "safe amount",
           "at_099": "amount at cosine 0.99"}  # fmt: skip
compared = {
    (NAMES[row["network"]], f"{row['epochs']} epochs", f"{which} weights"): {
        words: row[f"{name}_{which}"] for name, words in NUMBERS.items()
    }
    for _, row in networks.iterrows()
    for which in ("all", "seen")
}

# %%
pd.DataFrame(compared).T.round(3)

# %% [markdown]
# ## L1 and random pruning at equal cosine
#
# Accuracy just after pruning. The last panel is the control: the same network with a stem for 32 by 32 pixels (3 by 3,
# stride 1, no pooling), in which every weight sees something.

# %% mystnb={"image": {"alt": "Accuracy against cosine for L1 and random pruning, in three panels."}}
swept = prunes[(prunes["network"] == LARGE_STEM) & (prunes["epochs"] == middle["epochs"])]
control = prunes[prunes["network"] == SMALL_STEM]
accuracies_figure(
    {
        "Cosine of all weights": (swept, "cosine"),
        "Cosine of the seen weights": (swept, "cosine_seen"),
        "Control: every weight sees something": (control, "cosine"),
    }
)

# %% tags=["hide-input"]
gaps = {
    "all": 100 * gap(swept, "cosine"),
    "seen": 100 * gap(swept, "cosine_seen"),
    "control": 100 * gap(control, "cosine"),
}
Markdown(
    f"*L1 minus random pruning at cosine 0.9, in percentage points of accuracy: {gaps['all']:.0f} over all weights, "
    f"{gaps['seen']:.0f} over the seen weights, {gaps['control']:.0f} in the control.*"
)

# %% [markdown]
# ## What to conclude


# %% tags=["hide-input"]
def verdict(holds: bool) -> str:
    """Return the words for an expectation that the measurement meets or not."""
    return "As expected" if holds else "**Not as expected**"


def at_closed_form(start: pd.Series, end: pd.Series) -> float:
    """Return the amount at cosine 0.99 of `start` if its unseen weights had the norm of those of `end`."""
    x, y = shrinking_curve(start)
    return float(np.interp(end["decay"], x[::-1], y[::-1]))


small = networks[networks["network"] == SMALL_STEM].iloc[0]
error = float((large["decay"] / large["decay_predicted"] - 1).abs().max())
equal = bool((networks["accuracy"] == networks["accuracy_without"]).all())
seen_all = networks.loc[networks["network"] == SMALL_STEM, "unseen"].eq(0).all()
mean_share = float(mine["unseen_share"][mine["amount"].between(0.2, 0.5)].mean())
falls = {name: bool((large[f"{name}_seen"] < large[f"{name}_all"]).all()) for name in ("at_099", "optimal", "kurtosis")}
fell = 1 - gaps["seen"] / gaps["all"]
predicted, found = 100 * at_closed_form(middle, longest), 100 * longest["at_099_all"]
many = [
    f"{NETWORK_NAMES.get(row['network'], NAMES.get(row['network']))} at {row['size']} pixels, {row['unseen']:,}"
    for _, row in counts[counts["unseen"] > 0].iterrows()
]
words = {name: "falls" if fell_too else "does not fall" for name, fell_too in falls.items()}
Markdown(f"""
1. Unseen weights: {"; ".join(many)}. The other rows of the table have none.
2. {verdict(equal)}: pruning exactly the unseen weights leaves every accuracy equal.
3. {verdict(error < 1e-3)}: the norm of the unseen weights
   differs from the closed form by at most {error:.1e} (relative).
   Their share of L1 prunes of 20% to 50% is {mean_share:.0%} on average, of all weights
   {longest["unseen"] / longest["n_all"]:.0%}.
4. Without them, in every narrow network that has them, the amount at cosine 0.99
   {words["at_099"]}, the optimal amount {words["optimal"]}, the kurtosis {words["kurtosis"]}. We expected all three
   to fall.
5. {verdict(0.2 < fell < 0.6)}: over the seen weights, the gap of L1 to random pruning is {fell:.0%} smaller
   ({gaps["all"]:.0f} and {gaps["seen"]:.0f} points; one seed).
6. {verdict(bool(seen_all) and gaps["control"] < gaps["all"])}: in the control no weight is unseen, and the gap is
   {gaps["control"]:.0f} points (accuracy {small["accuracy"]:.1%}, against {middle["accuracy"]:.1%}).
7. {verdict(abs(predicted - found) < 5)}: for {longest["epochs"]} epochs, the closed form says {predicted:.1f}% at
   cosine 0.99, the trained network {found:.1f}%.
""")

# %% [markdown]
# Before you compare amounts of two networks, count what they do not see at the size of your images. An amount at equal
# cosine says little if half the weights see nothing. Where `wmgp.unseen` finds such weights, prune them first: it costs
# nothing.
