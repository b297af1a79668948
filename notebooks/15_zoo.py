# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Networks that people use
#
# The paper looks at three networks and MobileNetV2, all of them for small pictures. Here are others, of other kinds,
# trained by other people for their own ends: to hear pitch or speech, to know a speaker, to find faces, to read
# sentences, to design proteins. Their weights ship inside Python packages. What do the rules say of them? Does the
# kurtosis tell what is recommended? How often is the safe amount undefined? And does it matter what may be pruned, the
# *pool*?
#
# ```{verdicts} C5 C8
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```
#
# This page adds to neither, for nothing here was fine-tuned, and but for one network no accuracy was measured.

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded rows), "quick" or "tiny" (untrained networks made here, in seconds)
device: str = "auto"  # device of the untrained networks: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of the bootstrap and of the untrained networks
checkpoint: str = ""  # absolute path of your own checkpoint, analysed together with the others
key: str = ""  # key of the state dict in that checkpoint, if it has several

# %% tags=["hide-input"]
import pandas as pd
import torch
from IPython.display import Markdown
from torch import nn

from studies.zoo import measure
from studies.zoo.figure import amounts_figure, kurtosis_figure
from wmgp import closed_forms
from wmgp.experiments import notebook
from wmgp.experiments.results import formatting, tables
from wmgp.io.checkpoints import open_checkpoint

where = notebook.setup(preset, seed, device)


def untrained_rows(width: int) -> pd.DataFrame:
    """Return the rows of a small untrained network of each kind."""
    torch.manual_seed(seed)
    linear = nn.Linear(width, 10)
    networks = {
        "convolutional": nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, width, 3)),
        "depthwise": nn.Sequential(nn.Conv2d(width, width, 3, groups=width), nn.Conv2d(width, 4 * width, 1)),
        "recurrent": nn.ModuleDict({"lstm": nn.LSTM(width, width), "linear": linear}),
        "transformer": nn.TransformerEncoderLayer(width, 4, 4 * width),
        "graph": nn.ModuleDict({"message": nn.Linear(3 * width, width), "combine": nn.GRUCell(width, width)}),
        "embedding": nn.Embedding(50 * width, width),
    }
    rows = [row for kind, net in networks.items() for row in measure.measure_network(kind, kind, kind, net.to(where))]
    return pd.DataFrame(rows)


if preset == "default":
    rows = pd.read_csv(tables.locate("zoo.csv"))
else:
    rows = untrained_rows({"quick": 128, "tiny": 16}[preset])
if checkpoint:
    own_rows = measure.measure_network("yours", "yours", "yours", open_checkpoint(checkpoint, key or None).tensors)
    rows = pd.concat([rows, pd.DataFrame(own_rows)], ignore_index=True)
paper, matrices, alone = (
    rows[rows["pool"] == pool].reset_index(drop=True) for pool in ("paper", "weights", measure.WEIGHTS_ALONE)
)
families = paper["family"].nunique()
Markdown(f"{len(paper)} networks of {families} families and {paper['kind'].nunique()} kinds.")

# %% [markdown]
# ## Where they come from
#
# Each file is known by its hash, and was read without running code. Only packages that state a licence were taken, in
# their metadata or in a licence file; it is given here in their own word. Networks of one *family* have their
# architecture, or most of it, in common: they count as one below. Known constants that are stored among the weights,
# such as a Fourier transform, were left out.

# %% tags=["hide-input"]
if preset == "default":
    packages = paper.groupby(["family", "package", "version", "licence"], sort=False)["name"].agg(", ".join)
    lines = [
        f"- **{names}** ({licence}): {package} {version}" for (_, package, version, licence), names in packages.items()
    ]
else:
    lines = [f"- **{name}**: made here, untrained" for name in paper["name"] if name != "yours"]
lines += [f"- **yours**: {checkpoint}"] if checkpoint else []
Markdown("\n".join(lines))

# %% [markdown]
# Their papers: CREPE {cite:p}`kim2018crepe`, MTCNN {cite:p}`zhang2016joint`, PESTO {cite:p}`riou2023pesto`,
# MobileNetV2 {cite:p}`sandler2018mobilenetv2`, FCPE {cite:p}`fcpe2024`, Resemblyzer {cite:p}`wan2018generalized`,
# BeatNet {cite:p}`heydari2021beatnet`, Silero VAD {cite:p}`silero2024`, MiniLM {cite:p}`wang2020minilm`, AntiBERTy
# {cite:p}`ruffolo2021deciphering`, RXNMapper {cite:p}`schwaller2021extraction`, ProteinMPNN
# {cite:p}`dauparas2022robust`, LigandMPNN and what was made of it {cite:p}`dauparas2025atomic`, CHGNet
# {cite:p}`deng2023chgnet` and WordLlama {cite:p}`wordllama2024`.
#
# ## What the rules say
#
# The pool is the paper's: every tensor that is called weight or bias.

# %% mystnb={"image": {"alt": "Three recommended amounts of each network, by kind: the optimal ones are alike."}}
amounts_figure(paper)

# %%
table = pd.DataFrame(
    {
        "parameters": paper["n_parameters"].map("{:,}".format),
        "prunable share": (paper["n_prunable"] / paper["n_parameters"]).map("{:.0%}".format),
        "kurtosis": paper["kurtosis"].map("{:,.1f}".format),
        "kurtosis of kurtoses": paper["k2"].map("{:.1f}".format),
        "optimal amount": paper["optimal"].map("{:.2f}".format),
        "safe amount": paper["safe"].map("{:.2f}".format),
        "amount at cosine 0.99": paper["at_099"].map("{:.2f}".format),
        "emptied tensors at the optimal amount": [
            f"{lost} of {n}" for lost, n in zip(paper["emptied"], paper["n_tensors"], strict=True)
        ],
    }
).replace("nan", "undefined")
table.set_axis(paper["name"], axis=0).rename_axis(None)

# %% [markdown]
# A tensor is *emptied* that loses all its values at the optimal amount. Most of these are biases and normalisations.
# What the other rules of [the page on rules](10_rules_compared.ipynb) say, least to most over the networks:

# %% tags=["hide-input"]
rules = {"optimal": "optimal", "safe": "safe", "at_099": "cosine 0.99", **measure.RULE_COLUMNS}
Markdown("\n".join(f"- {words}: {paper[name].min():.2f} to {paper[name].max():.2f}" for name, words in rules.items()))

# %% [markdown]
# ## Does kurtosis tell the recommended amount?
#
# A dot for each network. Below, only what has two dimensions or more, by itself, as if there were no biases and
# normalisations at all.

# %% mystnb={"image": {"alt": "Optimal amount against kurtosis, for two pools: most amounts lie close together."}}
POOLS = {
    "Weights and biases (the paper's pool)": paper,
    "Tensors of two dimensions or more, alone": alone,
}
kurtosis_figure(POOLS, closed_forms.smallest_optimum().amount)

# %% [markdown]
# Rank correlations with the kurtosis (1: it tells the order, 0: it tells nothing). A family counts as one network, by
# its medians; 95% intervals from drawing families with replacement.

# %% tags=["hide-input"]
AMOUNTS = {"optimal": "optimal amount", "at_099": "amount at cosine 0.99"}
ranks = {
    words: {title: measure.rank_correlation(part, "kurtosis", column, seed) for title, part in POOLS.items()}
    for column, words in AMOUNTS.items()
}
Markdown(
    "\n".join(
        f"- {words}; {title.lower()}: {formatting.format_interval(*interval, '.2f') or 'undefined'}"
        for words, each in ranks.items()
        for title, interval in each.items()
    )
)

# %% [markdown]
# ## Which pool?
#
# Where names differ from *weight* and *bias*, the paper's pool misses part of a network, and what is missed counts in
# the cosine all the same: an LSTM's weights are called `weight_ih_l0`. Where a few values hold most of the energy (the
# sum of squares), the rest is nothing beside them. Here are the networks in which either is so, with the optimal amount
# of the paper's pool and that of the tensors of two dimensions or more: first with the rest of the network in the
# cosine, then of these tensors by themselves.

# %% tags=["hide-input"]
MISSED = 0.9  # prunable share below which a network counts as irregular
SMALL, HEAVY = 0.05, 0.5  # a tensor with less than SMALL of the pool's values, but more than HEAVY of its energy
prunable_share = paper["n_prunable"] / paper["n_parameters"]
is_small = paper["heaviest_size"] / paper["n_prunable"] < SMALL
odd = (prunable_share < MISSED) | (is_small & (paper["heaviest_share"] > HEAVY))
lines = [
    f"- **{row['name']}**: {prunable_share[i]:.1%} of the values are in the paper's pool. Of these "
    f"`{row['heaviest']}`, {row['heaviest_size'] / row['n_prunable']:.2%} of the values, "
    f"has {row['heaviest_share']:.1%} of the energy. "
    f"Optimal: {row['optimal']:.2f}; then {matrices['optimal'][i]:.2f} and {alone['optimal'][i]:.2f}."
    for i, row in paper[odd].iterrows()
]
Markdown("\n".join(lines) or "None.")

# %% [markdown]
# ## What it costs
#
# For one of these networks there are images to ask: MobileNetV2, a sample of ImageNet, nothing fine-tuned. Accuracy
# at the measured amounts that are nearest to the recommended ones. For all the others, accuracy was not measured.

# %% tags=["hide-input"]
mobilenet = paper[paper["name"] == "MobileNetV2"]
nearest_rows = pd.DataFrame()
if len(mobilenet):
    amounts = {
        words: float(mobilenet[name].iloc[0]) for name, words in rules.items() if name in ("optimal", "safe", "at_099")
    }
    nearest_rows = measure.nearest_rows(tables.read(tables.locate("mobilenet_v2_imagenet-sample.csv")), amounts)
    accuracy_table = pd.DataFrame(
        {
            "recommended": {rule: f"{amount:.2f}" for rule, amount in amounts.items()},
            "nearest measured amount": nearest_rows["amount"].map("{:.2f}".format),
            "accuracy": nearest_rows["accuracy_pruned"].map("{:.1%}".format),
            "accuracy, unpruned": nearest_rows["accuracy_parent"].map("{:.1%}".format),
        }
    )
accuracy_table if len(mobilenet) else Markdown("The untrained networks have no accuracy to measure.")

# %% [markdown]
# ## What to conclude

# %% tags=["hide-input"]
regular = paper[~odd]
pair = max(
    ((a, b) for _, part in regular.groupby(["family", "optimal"]) for a in part.index for b in part.index),
    key=lambda pair: paper["kurtosis"][pair[0]] / paper["kurtosis"][pair[1]],
    default=(0, 0),
)
first, second = (paper.loc[i] for i in pair)
is_narrow = len(regular) > len(paper) / 2 and regular["optimal"].max() - regular["optimal"].min() < 0.1
differs = (paper["optimal"] - alone["optimal"]).abs() > 0.005  # amounts are multiples of 0.01
unsafe_names = [part.loc[part["modifier"] > 1, "name"].tolist() for part in (paper, matrices)]
emptied_matrices = paper.loc[paper["emptied_weights"] > 0, "name"]


def both_ranks(words: str) -> str:
    """Format the rank correlations with an amount, one per pool."""
    return " and ".join(formatting.format_interval(*each, ".2f") or "undefined" for each in ranks[words].values())


def listed(names: list[str]) -> str:
    """Format the number of names and the names."""
    return f"{len(names)} ({', '.join(names)})" if names else "none"


lines = [
    f"**The optimal amount {'hardly depends' if is_narrow else 'depends'} on the network.** For {len(regular)} of "
    f"{len(paper)} it lies between {regular['optimal'].min():.2f} and {regular['optimal'].max():.2f}, while "
    f"their kurtosis goes from {regular['kurtosis'].min():.1f} to {regular['kurtosis'].max():,.0f}. "
    f"Their amounts at cosine 0.99 go from {regular['at_099'].min():.2f} to {regular['at_099'].max():.2f}.",
    f"**The pool matters for the rest**: {listed(paper.loc[odd, 'name'].tolist())}. Where names are not *weight* and "
    f"*bias*, or one small tensor outweighs the others, the rule says {paper.loc[odd, 'optimal'].min():.2f} to "
    f"{paper.loc[odd, 'optimal'].max():.2f}. Of the tensors of two dimensions or more by themselves it says "
    f"{alone.loc[odd, 'optimal'].min():.2f} to {alone.loc[odd, 'optimal'].max():.2f}, and the same as before for "
    f"{listed(paper.loc[odd & ~differs, 'name'].tolist())}. Everywhere else the two differ by "
    f"{(paper['optimal'] - alone['optimal'])[~odd].abs().max():.2f} at most."
    if odd.any()
    else "**The pool** decides nothing here.",
    f"**Does kurtosis tell the order?** Over {families} families its rank correlation with the optimal amount is "
    f"{both_ranks('optimal amount')}: in the paper's pool, and among the tensors of two dimensions "
    f"or more alone. With the amount at cosine 0.99 it is {both_ranks('amount at cosine 0.99')}.",
    f"**Safe** is undefined for {listed(paper.loc[paper['safe'].isna(), 'name'].tolist())}, and else asks for "
    f"{paper['safe'].min():.2f} to {paper['safe'].max():.2f}. As published it exceeds the optimal amount for "
    f"{listed(unsafe_names[0])} in the paper's pool, and for "
    f"{listed(unsafe_names[1])} among the tensors of two dimensions or more.",
    f"**Whole tensors go.** At the optimal amount {(paper['emptied'] > 0).sum()} of {len(paper)} networks lose one or "
    f"more. Tensors of two dimensions or more are among them in {listed(emptied_matrices.tolist())}.",
]
if first["kurtosis"] > second["kurtosis"]:
    lines[2] += (
        f" {first['name']} has a kurtosis of {first['kurtosis']:,.0f} and {second['name']}, of the same family, one of "
        f"{second['kurtosis']:,.0f}; both should lose {first['optimal']:.0%}. "
        f"Without what has one dimension the first has {alone['kurtosis'][pair[0]]:.1f}."
    )
if len(nearest_rows):
    lines.append(
        "**Accuracy**, where it could be asked: "
        + "; ".join(
            f"{row['accuracy_pruned']:.1%} at {row['amount']:.2f} (nearest to {rule})"
            for rule, row in nearest_rows.iterrows()
        )
        + f"; {nearest_rows['accuracy_parent'].iloc[0]:.1%} unpruned."
    )
Markdown("\n".join(f"- {line}" for line in lines))

# %% [markdown]
# What to do with a network of your own: run `wmgp analyze` with `--tensors`, and look at two things before the optimal
# amount. How many of the parameters are prunable? And does a small tensor hold most of the energy? If either looks odd,
# the optimal amount says little of your network. Choose the pool by hand then, or give the tensors you mean by
# themselves. Begin at the smaller of the safe amount and the amount for cosine 0.99, and measure: neither promises
# anything.
