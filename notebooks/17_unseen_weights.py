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
# On small images, more than half of ResNet18's weights multiply nothing but padding. They cannot change an output, and
# training only shrinks them. L1 pruning takes them early, so they raise the amount at cosine 0.99, and the longer the
# training with weight decay, the more they raise it.

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded networks) or "tiny" (networks trained on a few digits, in seconds)
device: str = "auto"  # unused: "auto", "cpu" or "cuda"
seed: int = 0  # of the networks of "tiny"

# %% tags=["hide-input"]
from dataclasses import replace

import pandas as pd
import torch
from IPython.display import Markdown
from torch import nn

import wmgp
from studies.unseen_weights import decay, measure
from studies.unseen_weights.figure import accuracies_figure, gap, share_figure, shrinking_figure
from studies.unseen_weights.networks import RECIPE
from wmgp.experiments import notebook
from wmgp.experiments.data import load
from wmgp.experiments.models import build
from wmgp.experiments.results import tables

notebook.setup(preset, seed, device, notebook.PRESETS)
LARGE_STEM, SMALL_STEM = "resnet18_w16", "resnet18_w16_stem32"


def measure_tiny() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the three tables for two networks that are trained on 64 digits for one and two epochs."""
    digits = load("digits", True).first(64)
    images = replace(digits, images=digits.images.repeat(1, 3, 1, 1))
    rows, pruned = [], []
    for network, epochs in ((LARGE_STEM, 1), (LARGE_STEM, 2), (SMALL_STEM, 1)):
        row, more, _ = measure.measure_network(network, epochs, images, images, seed, None, (0.2, 0.5, 0.8))
        rows.append(row)
        pruned += more
    counted = [measure.count("lenet5", 28), measure.count(LARGE_STEM, 32)]
    return pd.DataFrame(counted), pd.DataFrame(rows), pd.DataFrame(pruned)


if preset == "default":
    counts, networks, prunes = (pd.read_csv(tables.locate(f"unseen_{name}.csv")) for name in ("counts", "networks", "prunes"))
else:
    counts, networks, prunes = measure_tiny()
large = networks[networks["network"] == LARGE_STEM].sort_values(by="epochs")
first, last = large.iloc[0], large.iloc[-1]
small = networks[networks["network"] == SMALL_STEM].iloc[0]
share = first["unseen"] / first["n_all"]

# %% mystnb={"image": {"alt": "The amount at cosine 0.99 rises as the norm of the unseen weights falls."}}
shrinking_figure(large, "Weights that see nothing raise the amount")

# %% tags=["hide-input"]
Markdown(
    f"*A ResNet18 of a quarter of the width, on CIFAR-10 at 32 by 32 pixels. {share:.1%} of its weights see nothing. "
    f"Training for {first['epochs']} epochs shrinks them to {first['decay']:.2f} of their initial norm, training for "
    f"{last['epochs']} epochs to {last['decay']:.2f}; the amount at cosine 0.99 rises from {first['at_099_all']:.0%} "
    f"to {last['at_099_all']:.0%}. The curve takes the first network and shrinks only the unseen weights.*"
)

# %% [markdown]
# ## The proof in five lines
#
# A 3 by 3 kernel with padding 1 on a map of one pixel: only its centre meets the pixel. `wmgp.unseen` finds the weights
# whose gradient is zero for every input of a shape, by the network's structure. It draws random weights and inputs, and
# replaces ReLU by a leaky ReLU, so that a dead unit does not count.

# %%
convolution = nn.Conv2d(1, 1, 3, padding=1)
wmgp.unseen(convolution, torch.zeros(1, 1, 1, 1))["weight"].int()[0, 0]

# %% [markdown]
# The same call on the recorded LeNet-5, and on a ResNet18 stage with its maps of one pixel:

# %%
lenet = wmgp.unseen(build("lenet5", seed), torch.zeros(1, 1, 28, 28))
stage = wmgp.unseen(nn.Sequential(nn.Conv2d(256, 512, 3, 2, 1), nn.Conv2d(512, 512, 3, 1, 1)), torch.zeros(1, 256, 2, 2))
{"LeNet-5": sum(int(mask.sum()) for mask in lenet.values()), **{name: int(mask.sum()) for name, mask in stage.items()}}

# %% [markdown]
# ## What we expected
#
# Written before these networks were trained. A first look at one full-size ResNet18 (15 epochs, 81.4%) came earlier.
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
# The networks are small, because a full-size one costs 40 minutes of a CPU core: ResNet18 with a quarter of the width,
# 10,000 training images, one seed, accuracy on 2,000 test images. They show the mechanism, not its exact size in the
# paper's networks.
#
# ## How many, in which network?
#
# *Unseen*: the weight cannot change an output. *Through sums*: the weight acts only through its sum with others, because
# their inputs are always equal; the number is of those that are redundant. VGG11's first linear layer receives 49
# copies of 512 numbers at 32 by 32 pixels.

# %% tags=["hide-input"]
shown = counts.drop(columns=["run"], errors="ignore").assign(share=counts["unseen"] / counts["parameters"])
shown = shown.rename(columns={"size": "pixels", "summed": "through sums", "share": "unseen share"})

# %%
shown.set_index(["network", "pixels"]).style.format("{:,}").format("{:.1%}", subset=["unseen share"])

# %% [markdown]
# ## Only weight decay moves them
#
# Without a gradient, SGD with momentum multiplies a weight by a factor that depends on the recipe alone: about
# $e^{-\lambda \sum \eta / (1 - \mu)}$ for weight decay $\lambda$, rates $\eta$ and momentum $\mu$. `decay_factor` runs
# the recursion exactly. The measured ratio of norms agrees, and pruning the unseen weights leaves the accuracy equal:

# %%
columns = ["epochs", "decay", "decay_predicted", "energy_share", "accuracy", "accuracy_without"]
networks.set_index("network")[columns].round(4)

# %% [markdown]
# The recorded full-size ResNet18 parents obey the same recursion. It gives the share of their energy (sum of squares)
# that unseen weights hold, without training them again:

# %% tags=["hide-input"]
FULL_SIZE = {"15 epochs": 15, "30 epochs": 30, "60 epochs": 60}
full_recipe = replace(RECIPE, batch_size=512)
factors = {name: decay.decay_factor(full_recipe, decay.steps_of(full_recipe, 50_000, epochs)) for name, epochs in FULL_SIZE.items()}

# %%
pd.Series(factors, name="norm of unseen weights / initial norm").round(3).to_frame()

# %% [markdown]
# ## Their share of each L1 prune

# %% mystnb={"image": {"alt": "Unseen share of the weights that L1 prunes, by amount: above their share of all."}}
l1 = prunes[(prunes["method"] == "l1") & (prunes["amount"] > 0)]
share_figure(
    {f"{row['epochs']} epochs": l1[(l1["network"] == LARGE_STEM) & (l1["epochs"] == row["epochs"])] for _, row in large.iterrows()},
    share,
    "L1 prunes mostly weights that see nothing",
)

# %% [markdown]
# ## With and without them
#
# The paper's numbers for all weights of each network and for its seen weights alone.

# %% tags=["hide-input"]
NUMBERS = {"kurtosis": "kurtosis", "k2": "kurtosis of kurtoses", "optimal": "optimal amount", "safe": "safe amount",
           "at_099": "amount at cosine 0.99"}  # fmt: skip
compared = {
    (f"{row['network']}, {row['epochs']} epochs", which): {words: row[f"{name}_{which}"] for name, words in NUMBERS.items()}
    for _, row in networks.iterrows()
    for which in ("all", "seen")
}

# %%
pd.DataFrame(compared).T.round(3)

# %% [markdown]
# ## L1 and random pruning at equal cosine
#
# Accuracy just after pruning. If the cosine counts all weights, L1 gets a high cosine at a price that unseen weights
# pay. If it counts seen weights only, the two methods lie closer. The last panel is the control: the same network with a
# stem for 32 by 32 pixels (3 by 3, stride 1, no pooling), in which every weight sees something.

# %% mystnb={"image": {"alt": "Accuracy against cosine for L1 and random: the gap is smaller over the seen weights."}}
mine = prunes[(prunes["network"] == LARGE_STEM) & (prunes["epochs"] == first["epochs"])]
control = prunes[prunes["network"] == SMALL_STEM]
accuracies_figure(
    {
        "Cosine of all weights": (mine, "cosine"),
        "Cosine of the seen weights": (mine, "cosine_seen"),
        "Control, without unseen weights": (control, "cosine"),
    }
)

# %% tags=["hide-input"]
gaps = {name: 100 * gap(rows, column) for name, rows, column in (
    ("all", mine, "cosine"), ("seen", mine, "cosine_seen"), ("control", control, "cosine"),
)}  # fmt: skip
Markdown(
    f"L1 minus random pruning at cosine 0.9, in percentage points of accuracy: {gaps['all']:.1f} over all weights, "
    f"{gaps['seen']:.1f} over the seen weights, {gaps['control']:.1f} in the control."
)
