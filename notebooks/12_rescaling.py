# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The same network, other weights
#
# Multiply all that makes a channel by ten, and divide by ten all that uses it. ReLU lets the factor pass, so the
# network computes what it did before. Its weights are others, though, and with them the kurtosis, the front and the
# answer of every rule that looks at the weights alone. How far can one push them? And is there a way of looking at
# weights that does not see such a change?
#
# ```{verdicts} C5 C7
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded rows), "quick" (a network on digits, a minute) or "tiny" (seconds)
network: str = "lenet5"  # network whose recorded parent is rescaled: "lenet5" or "lenet_small"
device: str = "auto"  # device of training in this notebook: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # seed of the parent, and random seed
tries: int = 200  # number of random rescalings that the adversary tries

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from safetensors.torch import load_file

import wmgp
from studies.rescaling import measure, transforms
from studies.rescaling.figure import layer_scaling_figure
from studies.shared.sweep_figures import METHOD_LABELS
from wmgp.experiments import models, notebook
from wmgp.experiments.data import load
from wmgp.experiments.display_names import display_name
from wmgp.experiments.results import formatting
from wmgp.experiments.results.tables import locate
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import DIGITS_CONFIG

where = notebook.setup(preset, seed, device)
notebook.check_choice("network", network, ("lenet5", "lenet_small"))
notebook.check_integer("tries", tries, 1, 100_000)


def format_power(value: float) -> str:
    """Format a small number with one digit, for example 3·10⁻⁴."""
    digits, exponent = f"{value:.0e}".split("e")
    return digits + "·10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")) if value else "0"


def measured() -> tuple[torch.nn.Module, pd.DataFrame]:
    """Return a parent and the rows of its rescaled networks."""
    if preset == "default":
        data = {"lenet5": "mnist", "lenet_small": "cifar10-jpeg"}[network]
        model = models.build(network, seed)
        model.load_state_dict(load_file(locate(f"parents/{network}-{data}-seed{seed}.safetensors")))
        return model, pd.read_csv(locate("rescaling.csv"))
    config = replace(DIGITS_CONFIG, epochs=1) if preset == "tiny" else DIGITS_CONFIG
    model = load_or_train_parent("lenet5", load("digits", True, where), seed, config.epochs, config.recipe).cpu()
    rows = measure.measure(model, measure.chain_rescalings(model, seed), load("digits", False), 0.7)
    return model, pd.DataFrame(rows).assign(network="lenet5", data="digits", seed=seed)


model, rows = measured()
by_network = {display_name(*key): part for key, part in rows.groupby(["network", "data"], sort=False)}
Markdown(
    "Recorded parents: " + "; ".join(f"{name} ({part['seed'].nunique()})" for name, part in by_network.items()) + "."
)

# %% [markdown]
# ## One layer, one factor
#
# A whole layer is multiplied by a factor, and the layer after it divided. The outputs stay as they are.

# %% tags=["hide-input"]
layers = [name for name, module in model.named_modules() if isinstance(module, transforms.WeightedLayer)]
FACTORS = np.geomspace(0.01, 100, 41)


def analyze_scaled(layer: int, factor: float) -> wmgp.Analysis:
    """Return the analysis of the network with one layer multiplied by `factor`."""
    factors = [factor if i == layer else 1.0 for i in range(len(layers) - 1)]
    return wmgp.analyze(transforms.rescale_channels(model, factors))


# %%
shape = models.IMAGE_SHAPES[network if preset == "default" else "lenet5"]
images = torch.rand(100, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
with torch.inference_mode():
    before = model.double().eval()(images)
    after = transforms.rescale_channels(model, [100.0, 0.01, 100.0, 0.01]).eval()(images)
difference = float((before - after).abs().max() / before.abs().max())
Markdown(
    f"Largest difference of an output after factors of 100, 1/100, 100 and 1/100, relative: {format_power(difference)}."
)

# %% mystnb={"image": {"alt": "Optimal amount and kurtosis against the factor on each layer: both move at will."}}
lines = {name: [analyze_scaled(i, factor) for factor in FACTORS] for i, name in enumerate(layers[:-1])}
layer_scaling_figure(
    FACTORS,
    {
        "Optimal amount": {name: np.array([each.optimal.amount for each in found]) for name, found in lines.items()},
        "Kurtosis": {name: np.array([each.kurtosis for each in found]) for name, found in lines.items()},
        "Safe amount": {
            name: np.array([each.safe.amount if each.safe else np.nan for each in found])
            for name, found in lines.items()
        },
    },
    ["Kurtosis"],
)

# %% [markdown]
# ## How far an adversary gets
#
# Factors for all layers at once, drawn by chance, a thousand to one either way. The kurtosis of kurtoses does not see
# them, for each kurtosis in it is that of one tensor by itself. The extremes of what comes out:

# %%
rng = np.random.default_rng(seed)
random_analyses = [
    wmgp.analyze(transforms.rescale_channels(model, 10 ** rng.uniform(-3, 3, len(layers) - 1))) for _ in range(tries)
]
original = wmgp.analyze(model)
NUMBERS = {
    "optimal amount": lambda analysis: analysis.optimal.amount,
    "safe amount": lambda analysis: analysis.safe.amount if analysis.safe else np.nan,
    "amount at cosine 0.99": lambda analysis: analysis.at_cosine(0.99).amount,
    "kurtosis": lambda analysis: analysis.kurtosis,
    "kurtosis of kurtoses": lambda analysis: analysis.kurtosis_of_kurtoses,
}
extremes = {name: [number(each) for each in random_analyses] for name, number in NUMBERS.items()}
found = {
    name: {"original": number(original), "minimum": np.nanmin(extremes[name]), "maximum": np.nanmax(extremes[name])}
    for name, number in NUMBERS.items()
}
pd.DataFrame(found).T.map("{:,.2f}".format)

# %% [markdown]
# ## Is there a neutral way to look?
#
# *Balanced* is the one network, of all that can be reached by factors on channels, whose weights have the least norm.
# It is unique {cite:p}`stock2019equi`, so it does not matter where one began. With batch normalisation the scale of a
# convolution is divided away anyway; *folded* takes the normalisation into the convolution, where its scale is gone.
# Here is what each says of the recorded networks, as trained and after factors by chance.


# %% tags=["hide-input"]
def summarise(part: pd.DataFrame) -> dict[str, str]:
    """Return a row of the table below."""
    unique = part.drop_duplicates(["seed", "how"])
    columns = {"optimal amount": "optimal", "safe amount": "safe", "kurtosis": "kurtosis", "kurtosis of kurtoses": "k2"}
    cells = {words: formatting.format_mean_range(unique[name], ",.2f") for words, name in columns.items()}
    return {**cells, "largest relative change of an output": format_power(unique["change"].max())}


# %%
named_rows = rows.assign(name=[display_name(*key) for key in zip(rows["network"], rows["data"], strict=True)])
pd.DataFrame({key: summarise(part) for key, part in named_rows.groupby(["name", "how"], sort=False)}).T

# %% [markdown]
# ## And the accuracy?
#
# Neutral is not yet good. Accuracy just after pruning, in percent, means over the parents: by L1 at the optimal amount
# that each version of the network gets, and by three methods at one fixed amount.

# %% tags=["hide-input"]
pruned_rows = named_rows.assign(
    pruning=[
        "L1, optimal" if rule == "optimal" else f"{METHOD_LABELS[method]}, {amount:.0%}"
        for rule, method, amount in zip(named_rows["rule"], named_rows["method"], named_rows["amount"], strict=True)
    ]
)
shown = (
    pruned_rows.groupby(["name", "how", "pruning"], sort=False)["accuracy_pruned"].mean().mul(100).unstack(sort=False)
)
shown.insert(0, "unpruned", pruned_rows.groupby(["name", "how"], sort=False)["accuracy_parent"].mean().mul(100))

# %%
shown.rename_axis(index=(None, None), columns=None).map(lambda value: f"{value:.1f}" if value == value else "")

# %% [markdown]
# ## What to conclude


# %% tags=["hide-input"]
def mean_of(part: pd.DataFrame, how: str, column: str, **cells: str) -> float:
    """Return the mean of a column over a network's parents, for one version of its weights; nan if there is none."""
    selected = part[part["how"] == how]
    for name, value in cells.items():
        selected = selected[selected[name] == value]
    return float(selected[column].mean())


first = next(iter(by_network.values()))
fixed = {"method": "l1", "rule": "fixed"}
trained, balanced, random_factors = (
    100 * mean_of(first, how, "accuracy_pruned", **fixed) for how in ("as trained", "balanced", "channels by chance")
)
lamp = {"method": "lamp", "rule": "fixed"}
lamp_trained, lamp_random_factors = (
    100 * mean_of(first, how, "accuracy_pruned", **lamp) for how in ("as trained", "channels by chance")
)
least, most = np.nanmin(extremes["optimal amount"]), np.nanmax(extremes["optimal amount"])
low, high = np.nanmin(extremes["kurtosis"]), np.nanmax(extremes["kurtosis"])
Markdown(f"""
- **The answer can be pushed.** Without changing a single output, an adversary moves the optimal amount from
  {least:.2f} to {most:.2f}, and the kurtosis from {low:.1f} to {high:,.0f}. A number that does this says something of
  the weights, not of the network.
- **Factors on layers** do not touch methods that look at each tensor by itself: normalised L1 and LAMP. Factors on
  channels do.
- **Balancing** undoes both: what comes out is the same from wherever one begins.
- **Is it better, too?** In {next(iter(by_network))}, L1 at {first.loc[first["rule"] == "fixed", "amount"].iloc[0]:.0%}
  leaves {trained:.1f}% as trained, {balanced:.1f}% balanced, and {random_factors:.1f}% after factors by chance; LAMP
  leaves {lamp_trained:.1f}% as trained and {lamp_random_factors:.1f}% after those factors.
""")

# %% [markdown]
# What to do: analyse weights as training left them, for that is what all the evidence of this book rests on. Do not
# compare the numbers of networks that were exported, folded or rescaled differently, and do not trust them at all where
# somebody else could have chosen the scale.
