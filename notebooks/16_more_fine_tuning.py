# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # More fine-tuning
#
# One epoch, says the paper, is enough after a prune, and more is not always better: after a small prune ten epochs
# bring the network *closer* to its parent than one epoch does, after a big one they take it *farther away*. It shows
# no figure for this, and does not say how distance is measured. One can measure it in the parameters, or in what the
# network says. Here both were watched, epoch by epoch.
#
# ```{verdicts} C9
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" (recorded paths), "quick" (new ones on digits, two minutes) or "tiny" (seconds)
device: str = "auto"  # device of new paths: "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of a new parent and its pruned networks
epochs: int = 10  # the last epoch, which is compared with the first

# %% tags=["hide-input"]
from dataclasses import replace

import pandas as pd
from IPython.display import Markdown

from studies.more_fine_tuning import measure
from studies.more_fine_tuning.figure import changes_figure, paths_figure
from wmgp.experiments import notebook
from wmgp.experiments.data import load, to_device
from wmgp.experiments.display_names import SCRATCH, display_name
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.sweep.presets import TEN_EPOCH_AMOUNTS
from wmgp.experiments.training.loop import evaluate
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import DIGITS_CONFIG

where = notebook.setup(preset, seed, device)
notebook.check_integer("epochs", epochs, 2, 100)


def measured() -> pd.DataFrame:
    """Return rows of networks pruned by L1, one for each epoch of fine-tuning."""
    if preset == "default":
        return tables.read(tables.locate("tuning_paths.csv"))
    tiny = preset == "tiny"
    training, test = (to_device(load("digits", train), where) for train in (True, False))
    found = []
    for run_seed in (seed,) if tiny else (seed, seed + 1, seed + 2):
        config = replace(DIGITS_CONFIG, epochs=1) if tiny else DIGITS_CONFIG
        trained = load_or_train_parent("lenet5", training, run_seed, config.epochs, config.recipe)
        before = evaluate(trained, test)
        for amount in (0.0, 0.5, 0.9) if tiny else TEN_EPOCH_AMOUNTS:
            rows = measure.finetuning_path(
                trained, before, "l1", amount, training, test, run_seed, config.tuning, epochs
            )
            found.append(pd.DataFrame(rows).assign(network="lenet5", data="digits", seed=run_seed))
    return pd.concat(found, ignore_index=True)


def first_and_last(paths: pd.DataFrame) -> pd.DataFrame:
    """Return rows of L1 pruning after the first and last epoch: of recorded sweeps (more seeds), else of the paths."""
    if preset != "default":
        return paths
    swept = pd.concat([part for _, part in tables.sweeps(tables.locate("tuning_paths.csv").parent)])
    swept = swept[(swept["method"] == "l1") & swept["epochs"].isin([1, epochs]) & (swept["start"] == SCRATCH)]
    return swept.merge(swept.loc[swept["epochs"] == epochs, ["parent_sha256", "amount"]].drop_duplicates())


rows = measured()
paths, networks = (
    {display_name(*key): part for key, part in found.groupby(["network", "data"], sort=False)}
    for found in (rows, first_and_last(rows))
)


def counted(found: dict[str, pd.DataFrame]) -> str:
    """Networks, seeds and amounts."""

    def seeds(part: pd.DataFrame) -> str:
        numbers = ", ".join(
            each.replace("-", " to ") for each in formatting.format_integer_ranges(part["seed"]).split()
        )
        return f"seed{'s' if part['seed'].nunique() > 1 else ''} {numbers}"

    return "; ".join(f"{name} ({seeds(part)}; {part['amount'].nunique()} amounts)" for name, part in found.items())


Markdown(
    f"Watched epoch by epoch: {counted(paths)}. After one and after {epochs} epochs: {counted(networks)}. Every prune "
    "is by L1, and its pruned weights stay at zero."
)

# %% [markdown]
# ## Epoch by epoch
#
# At epoch 0 the network has just been pruned. Lines are means over the seeds, bands one standard deviation to either
# side. The line of 0% is the parent itself, trained on: what it does has nothing to do with pruning.

# %% mystnb={"image": {"alt": "Divergence, cosine, accuracy by epoch: large prunes come back, small ones drift off."}}
first = next(iter(paths.values()))
paths_figure(first, ["js", "cosine", "accuracy"], ["js"])

# %% [markdown]
# ## Ten epochs against one
#
# The same prune of the same parent, after the last epoch less after the first. A divergence that grows and a cosine
# that falls both mean *farther away*. Intervals (95%) are Student's t over the seeds.

# %% mystnb={"image": {"alt": "Change of divergence, cosine and accuracy between the first and last epoch, by amount."}}
QUANTITIES = {
    "js": "Change in divergence (nats)",
    "cosine": "Change in cosine",
    "accuracy": "Change in accuracy",
}
changes = {
    y: {name: measure.change_between_epochs(part, y, 1, epochs) for name, part in networks.items()} for y in QUANTITIES
}
changes_figure({QUANTITIES[y]: changes[y] for y in QUANTITIES})

# %%
changes_by_prune = {
    (name, f"{amount:.0%}"): {
        QUANTITIES[y]: formatting.format_interval(*changes[y][name][amount], "+.4f") for y in QUANTITIES
    }
    for name in networks
    for amount in changes["js"][name]
}
pd.DataFrame(changes_by_prune).T

# %% [markdown]
# ## When is it closest?
#
# The epoch at which a prune's outputs are least apart from its parent's, mean over the seeds, 0 to the last.

# %%
closest = {name: measure.closest_epoch(part).groupby("amount")["epochs"].mean() for name, part in paths.items()}
closest_table = (
    pd.DataFrame(closest).T.rename(columns=lambda amount: f"{amount:.0%} pruned").map(lambda epoch: f"{epoch:.1f}")
)
closest_table.rename_axis(columns=None)

# %% [markdown]
# ## What to conclude


# %% tags=["hide-input"]
def direction(found: tuple[float, float, float], closer: int) -> str:
    """Return "closer" or "farther away" if the interval excludes 0; `closer` is the sign of "closer"."""
    value, low, high = found
    if low != low:
        return "on a single seed"
    if low <= 0 <= high:
        return "neither clearly"
    return "closer" if value * closer > 0 else "farther away"


def describe_changes(name: str, amount: float) -> str:
    """Describe the changes of one pruned network."""
    js, cosine = changes["js"][name][amount], changes["cosine"][name][amount]
    nats = f"{formatting.format_interval(*js, '+.4f')}\N{NO-BREAK SPACE}nats"
    return (
        f"{name}, {amount:.0%} pruned: in function {direction(js, -1)}, {nats}; "
        f"in parameters {direction(cosine, 1)}, {formatting.format_interval(*cosine, '+.4f')} of cosine."
    )


def describe_single_seed(name: str, amounts: list[float]) -> str:
    """Describe the changes of a network with a single seed, without a verdict."""
    found = "; ".join(
        f"{amount:.0%} pruned, {changes['js'][name][amount][0]:+z.4f}\N{NO-BREAK SPACE}nats and "
        f"{changes['cosine'][name][amount][0]:+z.4f} of cosine"
        for amount in amounts
    )
    return f"{name}: a single seed does not tell what is chance. There the change was: {found}."


lines = []
for name in networks:
    pruned = sorted(amount for amount in changes["js"][name] if amount)
    if networks[name]["seed"].nunique() == 1:
        lines.append(describe_single_seed(name, pruned))
        continue
    lines += [describe_changes(name, pruned[0]), describe_changes(name, pruned[-1])]
    drift = changes["js"][name].get(0.0)
    if drift:
        is_drift = abs(changes["js"][name][pruned[0]][0] - drift[0]) < abs(drift[0]) / 2
        lines.append(
            f"{name}, nothing pruned: trained on, the parent itself moves by "
            f"{formatting.format_interval(*drift, '+.4f')}\N{NO-BREAK SPACE}nats."
            + (" The smallest prune's way is mostly this drift." if is_drift else "")
        )
    gains = [amount for amount in pruned if changes["accuracy"][name][amount][1] > 0]
    lines.append(
        f"{name}: {epochs} epochs are clearly more accurate than one at "
        + (", ".join(f"{amount:.0%}" for amount in gains) if gains else "none of the amounts")
        + "."
    )
Markdown("\n".join(f"- {line}" for line in lines))

# %% [markdown]
# What to do: after a small prune one epoch is enough, for there is little to regain, and more training is simply more
# training. After a large one go on for as long as the accuracy on held-out data rises. The distance to the parent is
# not what you want to keep small: a network may leave its parent and still get better.
