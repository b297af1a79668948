# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # L1 is optimal
#
# Of all ways to remove a given number of weights, removing the smallest keeps the network closest to its parent.
# This page lets you see it. First on a vector so small that every mask can be tried. Then on a real network, against
# random pruning, against layer-by-layer pruning, and against an adversary who may exchange any weights.
#
# ```{verdicts} C1
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" or "tiny": tiny runs in seconds, with a smaller vector and fewer draws
device: str = "auto"  # "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed
n_small: int = 12  # size of the small vector; all 2**n_small masks are tried, so at most 20
network: str = "lenet5"  # "lenet5" (trained on MNIST where recorded), "lenet_small", "resnet18", "mobilenet_v2" (fresh)
n_draws: int = 20  # random masks per amount
exchange_at: float = 0.8  # amount at which the adversary exchanges weights

# %% tags=["hide-input"]
import numpy as np
import torch
from IPython.display import Markdown

import wmgp
from studies.l1_is_optimal.figure import exchanges_figure, masks_figure, methods_figure
from studies.shared import pretrained
from wmgp.closed_forms import equal
from wmgp.experiments import models, notebook
from wmgp.experiments.display_names import NETWORK_NAMES
from wmgp.experiments.training.loop import choose_device

notebook.check_choice("preset", preset, notebook.PRESETS)
notebook.check_choice("network", network, ("lenet5", "lenet_small", "resnet18", "mobilenet_v2"))
notebook.check_integer("seed", seed, 0, 2**31)
n_small = notebook.check_integer("n_small", n_small, 2, 20)
n_draws = notebook.check_integer("n_draws", n_draws, 2, 1000)
exchange_at = notebook.check_between("exchange_at", exchange_at, 0, 1)
if preset == "tiny":
    n_small, n_draws = min(n_small, 8), min(n_draws, 3)
where = choose_device(device)
generator = torch.Generator().manual_seed(seed)
ROUNDING = 1e-12  # smaller differences between cosines are rounding errors

# %% [markdown]
# ## The claim
#
# Write all weights as one vector $v$. A mask sets some of them to zero. The *amount* is their share, and the *cosine*
# is the cosine of the angle between $v$ and what is left of it.
#
# > Among all masks of the same amount, the cosine is largest if and only if no pruned weight is larger in magnitude
# > than a kept one.
#
# The reason is short. A pruned vector is $v$ with zeros in it, so its dot product with $v$ is its own squared length.
# That leaves
#
# $$\cos = \sqrt{\frac{\text{sum of squares kept}}{\text{sum of squares of all}}} .$$
#
# To keep the most, drop the least. [The theorem](../book/theorem.md) has the full proof, with its "only if".

# %% [markdown]
# ## Every mask of a small vector
#
# A small vector has few enough masks to try them all. The cosine is computed from its definition, as a dot product over
# two lengths, and not from the formula above.

# %%
v = torch.randn(n_small, generator=generator, dtype=torch.float64).to(where)  # [n]
bits = torch.arange(n_small, device=where)
masks = (torch.arange(2**n_small, device=where)[:, None] >> bits) & 1  # [2**n, n], 1 = kept


def cosine(mask: torch.Tensor, parent: torch.Tensor) -> torch.Tensor:
    """Return the cosine of each masked vector (mask [..., n], 1 = kept) to its parent [n]; 0 if nothing is kept."""
    masked = mask * parent  # [..., n]
    return torch.nan_to_num(masked @ parent / (masked.norm(dim=-1) * parent.norm()))


cosines, counts = cosine(masks, v), n_small - masks.sum(dim=1)  # [2**n] each


def l1_cosines(order: torch.Tensor, parent: torch.Tensor) -> torch.Tensor:
    """Return the cosine after pruning the first 0, 1, ..., n weights of `order`."""
    ranks = order.argsort()  # [n], 0 = pruned first
    return torch.stack([cosine((ranks >= k).long(), parent) for k in range(n_small + 1)])  # [n + 1]


l1 = l1_cosines(v.abs().argsort(), v)

# %% mystnb={"image": {"alt": "Cosine against amount: all masks are dots, and the line of L1 runs along their top."}}
masks_figure((counts / n_small).cpu().numpy(), cosines.cpu().numpy(), l1.cpu().numpy())

# %% tags=["hide-input"]
best = torch.stack([cosines[counts == k].max() for k in range(n_small + 1)])
n_optimal = max(int((cosines[counts == k] > best[k] - ROUNDING).sum()) for k in range(n_small + 1))
excess = float((best - l1).max())
best_text = f"At each of the {n_small + 1} counts L1 has the largest cosine: no mask exceeds it."
Markdown(f"""
All {len(masks):,} masks of {n_small} weights.
{best_text if excess <= ROUNDING else f"A mask exceeds L1 by {excess:.1g}."}
{"Each time one mask alone attains it." if n_optimal == 1 else f"Up to {n_optimal} masks attain it."}
""")

# %% [markdown]
# The dots spread around the dotted line. It is $\sqrt{1 - \text{amount}}$, and we shall meet it again.
#
# ## Why ties do not matter
#
# What if several weights have the same magnitude at the cut? Then L1 has a choice, and two programs may choose
# differently. Let us round the same vector, so that it has ties, and count the masks that attain the best cosine.

# %%
rounded = v.sign() * (2 * v.abs()).ceil() / 2  # magnitudes are multiples of 0.5, none of them zero
tied = cosine(masks, rounded)
best_rounded = torch.stack([tied[counts == k].max() for k in range(n_small + 1)])
n_best = max(int((tied[counts == k] > best_rounded[k] - ROUNDING).sum()) for k in range(n_small + 1))
first = l1_cosines(rounded.abs().argsort(stable=True), rounded)
last = l1_cosines(n_small - 1 - rounded.abs().flip(0).argsort(stable=True), rounded)  # ties in reverse order

# %% tags=["hide-input"]
tie_difference, rounded_excess = float((first - last).abs().max()), float((best_rounded - first).max())
tie_text = "have the same cosine" if tie_difference <= ROUNDING else f"differ by {tie_difference:.1g} in cosine"
rounded_text = (
    "no mask has a larger one" if rounded_excess <= ROUNDING else f"the best mask exceeds them by {rounded_excess:.1g}"
)
Markdown(f"""
With {len(rounded.abs().unique())} different magnitudes among {n_small} weights, up to {n_best} masks of the same count
share the best cosine. L1 that takes the first of equal weights and L1 that takes the last {tie_text}, and
{rounded_text}. They prune different weights, and both are right.
""")

# %% [markdown]
# ## A real network
#
# Now a network instead of a handful of numbers. Three ways to prune it:
#
# - **global L1**: the smallest of all weights and biases together;
# - **L1 per tensor**: the smallest of each tensor, the same share of each;
# - **random**: any weights.

# %%
recorded = network == "lenet5" and seed in pretrained.lenet5_seeds()
parent = (pretrained.lenet5(seed) if recorded else models.build(network, seed)).to(where)
weights = {name: tensor.detach() for name, tensor in parent.named_parameters()}
n = sum(tensor.numel() for tensor in weights.values())

# %% tags=["hide-input"]
origin = "trained on MNIST; they are recorded with this book" if recorded else "as they are before any training"
Markdown(f"The network is {NETWORK_NAMES[network]} with {n:,} weights, {origin}.")

# %%
amounts = np.append(np.arange(0, 1, 0.1 if preset == "tiny" else 0.05), [0.97, 0.99, 1.0])


def pruned_cosine(amount: float, method: str, draw: int = 0) -> float:
    """Return the cosine of a pruned network to its parent; 0 if nothing is kept."""
    masks = wmgp.global_masks(weights, amount, method, generator=draw)
    return float(np.nan_to_num(wmgp.cosine_similarity(weights, {name: weights[name] * masks[name] for name in masks})))


draws = [seed * n_draws + i for i in range(n_draws)]
curves = {
    "global L1": np.array([[pruned_cosine(a, "l1") for a in amounts]]),
    "L1 per tensor": np.array([[pruned_cosine(a, "l1_local") for a in amounts]]),
    "random": np.array([[pruned_cosine(a, "random", draw) for a in amounts] for draw in draws]),
}

# %% mystnb={"image": {"alt": "Cosine against amount: global L1 on top, then L1 per tensor, random far below."}}
methods_figure(amounts, curves)

# %% [markdown]
# Global L1 is on top at every amount. L1 per tensor is below it, because a fixed share of each tensor takes large
# weights from one to spare small ones in another. Random pruning has a band too, from the least to the largest of its
# draws. You can hardly see it.
#
# The book says why: the mean of $\cos^2$ over all random prunes is exactly $1 - \text{amount}$, and its spread shrinks
# with the number of weights. [The formula for the spread](../book/theorem.md) needs one number of the network only, its
# kurtosis about zero.

# %% tags=["hide-input"]
flat = torch.cat([tensor.flatten().double() for tensor in weights.values()])  # [n]
kurtosis_about_zero = float(n * flat.pow(4).sum() / flat.pow(2).sum() ** 2)
i_half = int(np.argmin(np.abs(amounts - 0.5)))
p, squares = amounts[i_half], curves["random"][:, i_half] ** 2
expected = np.sqrt(p * (1 - p) * (kurtosis_about_zero - 1) / (n - 1))
l1_amount = wmgp.analyze(weights).at_cosine(0.99).amount
Markdown(f"""
At amount {p:.2f} the mean of cos² over {n_draws} random prunes is {squares.mean():.4f}, where the theory says
{1 - p:.4f}. Its standard deviation is {squares.std(ddof=1):#.2g}, where the theory says {expected:#.2g}.

So random pruning to cosine 0.99 removes {equal().amount_at(0.99):.2%} of any network. L1 removes {l1_amount:.1%} of
this one.
""")

# %% [markdown]
# ## An adversary
#
# An adversary takes the L1 prune and exchanges weights: some that were pruned come back, as many that were kept go.
# There are three ways to try:
#
# - **the gentlest**: the largest pruned weights for the smallest kept ones, the best hope;
# - **at random**: any for any;
# - **the worst**: the smallest pruned weights for the largest kept ones.

# %%
order = flat.abs().argsort()  # [n], smallest magnitude first
k = round(exchange_at * n)
notebook.check_integer("weights pruned at exchange_at", k, 1, n - 1)
pruned, kept = order[:k], order[k:]
shuffled = [part[torch.randperm(len(part), generator=generator).to(where)] for part in (pruned, kept)]
exchanges = {
    "the gentlest": (pruned.flip(0), kept),
    "at random": shuffled,
    "the worst": (pruned, kept.flip(0)),
}


def exchanged_cosine(restored: torch.Tensor, removed: torch.Tensor) -> float:
    """Return the cosine after restoring some pruned weights of the L1 mask and removing some kept weights."""
    mask = torch.zeros_like(flat)
    mask[kept], mask[restored] = 1, 1
    mask[removed] = 0
    return float(cosine(mask, flat))


best_cosine = exchanged_cosine(pruned[:0], kept[:0])
pairs = np.unique(np.geomspace(1, min(len(pruned), len(kept)), 13).round().astype(int))
exchange_cosines = {
    name: [exchanged_cosine(restored[:m], removed[:m]) for m in pairs]
    for name, (restored, removed) in exchanges.items()
}

# %% mystnb={"image": {"alt": "Cosine against pairs exchanged: all three ways start at L1's line and only fall."}}
exchanges_figure(pairs.tolist(), exchange_cosines, best_cosine)

# %% tags=["hide-input"]
largest_rise = max(max(values) for values in exchange_cosines.values()) - best_cosine
rise_text = (
    "No exchange raises the cosine"
    if largest_rise <= ROUNDING
    else f"The largest rise in cosine found is {largest_rise:.1g}"
)
i = int(np.argmin(np.abs(pairs / len(kept) - 0.1)))
gentlest, random, worst = (exchange_cosines[name][i] for name in exchanges)
Markdown(f"""
{rise_text}. The gentlest exchange is instructive, though. With {pairs[i]:,}
pairs, {pairs[i] / len(kept):.0%} of all kept weights, it lowers the cosine from {best_cosine:.4f} to {gentlest:.4f}. As
many exchanged at random lower it to {random:.4f}, the worst ones to {worst:.4f}.
""")

# %% [markdown]
# ## What to conclude
#
# - L1 is not one heuristic among others *for the cosine*. It is the answer, for every vector and every amount.
# - Which of several equal weights goes is of no importance. Neither is the exact cut: weights near the threshold may be
#   exchanged at almost no cost.
# - Random pruning needs no experiment: it gives $\sqrt{1 - \text{amount}}$, nearly without spread.
# - All this is about the cosine. Whether the cosine stands for what the network *does* is another question, and no
#   theorem answers it.
#
# Next: [how much to prune](02_how_much.ipynb).
