# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Kurtosis and what it says
#
# The paper explains how much can be pruned by the kurtosis of the weights: the heavier the tails, the more can go. This
# page shows where that is so and where it is not, what training does to it, how many different numbers may be called
# "the kurtosis of a network", and what becomes of the paper's second number, the kurtosis of kurtoses, on a real
# MobileNetV2.
#
# ```{verdicts} C5 C6 C8
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" or "tiny": tiny runs in seconds, with small networks only
device: str = "auto"  # "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed of the untrained networks
cosine: float = 0.99  # cosine at which amounts are compared
n_family: int = 40  # distributions per family
df: float = 5.0  # degrees of freedom (above 4) of the Student-t distribution compared with Laplace
max_parents: int = 10  # maximum number of recorded LeNet-5 parents compared with their initialisations

# %% tags=["hide-input"]
import json
import math

import numpy as np
from IPython.display import Markdown
from pandas import DataFrame

import wmgp
from studies.kurtosis.figure import amount_difference_figure, kurtosis_figure, modifier_figure, survival_figure
from studies.shared import pretrained
from studies.shared.front_figures import distribution_front, fronts_figure
from wmgp import closed_forms
from wmgp.experiments import models, notebook
from wmgp.experiments.results import tables
from wmgp.experiments.statistics import kurtosis_definitions
from wmgp.experiments.training.loop import choose_device
from wmgp.pareto import CAREFUL_COSINE, safe_modifier

notebook.check_choice("preset", preset, notebook.PRESETS)
notebook.check_integer("seed", seed, 0, 2**31)
notebook.check_between("cosine", cosine, 0, 1)
notebook.check_between("df", df, 4, 1000)
n_family = notebook.check_integer("n_family", n_family, 2, 10_000)
max_parents = notebook.check_integer("max_parents", max_parents, 1, 1000)
if preset == "tiny":
    n_family, max_parents = min(n_family, 8), min(max_parents, 2)
where = choose_device(device)
published = json.loads(tables.locate("published.json").read_text())

# %% [markdown]
# ## One family at a time
#
# Kurtosis is the mean fourth power of the deviations from the mean, over the square of their mean square. A normal
# distribution has 3. Each curve below is a family of distributions with a knob for its tails:
#
# - **generalised normal**, $\exp(-|x|^s)$: from nearly uniform over normal ($s = 2$) and Laplace ($s = 1$) to heavy
#   tails;
# - **Student's t**: normal for many degrees of freedom, heavy-tailed for few;
# - **two normals**: one weight in ten from a wider one;
# - **outliers**: all weights of one size, but for one in a thousand that is larger.

# %%
shapes, degrees = np.geomspace(20, 0.4, n_family), 4 + np.geomspace(96, 0.1, n_family)
families = {
    "generalised normal": [closed_forms.generalised_normal(s) for s in shapes],
    "Student-t": [closed_forms.student_t(degree) for degree in degrees],
    "two normals": [closed_forms.normal_mixture(0.1, ratio) for ratio in np.geomspace(1, 6, n_family)],
    "outliers": [closed_forms.two_levels(0.001, ratio) for ratio in np.geomspace(1, 12, n_family)],
}
t, laplace = closed_forms.student_t(df), closed_forms.laplace()
named = [closed_forms.uniform(), closed_forms.normal(), laplace, t]

# %% mystnb={"image": {"alt": "Optimal amount against kurtosis: rising at a different pace for each family."}}
kurtosis_figure(
    {name: ([d.kurtosis for d in family], [d.optimal.amount for d in family]) for name, family in families.items()},
    {d.name: (d.kurtosis, d.optimal.amount) for d in named},
    "Optimal amount (nearest to utopia)",
)

# %% mystnb={"image": {"alt": "Amount at equal cosine against kurtosis: the families lie far apart."}}
kurtosis_figure(
    {name: ([d.kurtosis for d in family], [d.amount_at(cosine) for d in family]) for name, family in families.items()},
    {d.name: (d.kurtosis, d.amount_at(cosine)) for d in named},
    f"Amount at cosine {cosine:g}",
)

# %% tags=["hide-input"]
outliers, normal_weights = max(families["outliers"], key=lambda d: d.kurtosis), closed_forms.normal()
Markdown(f"""
Within a family the paper is right: more kurtosis, more to prune. Between families it is not. Outliers, one weight in a
thousand, raise the kurtosis to {outliers.kurtosis:.0f}, and still only {outliers.amount_at(cosine):.1%} can go at
cosine {cosine:g}. A normal distribution, with kurtosis {normal_weights.kurtosis:.0f}, can lose
{normal_weights.amount_at(cosine):.1%}. Kurtosis looks at the few largest weights; pruning is about the many small ones.
""")

# %% [markdown]
# ## Where the order breaks
#
# It needs no outliers to break it. Student's t with few degrees of freedom has a higher kurtosis than Laplace. Compare
# the two at equal cosine, for that is the cost.

# %%
cosines = np.linspace(0.5, 0.999, 200)
lead = [laplace.amount_at(c) - t.amount_at(c) for c in cosines]

# %% mystnb={"image": {"alt": "How much more of Laplace weights can be pruned than of Student-t, by cosine."}}
amount_difference_figure(cosines.tolist(), {f"Laplace − {t.name}": lead})

# %% tags=["hide-input"]
wins = cosines[np.array(lead) > 0]
where_ahead = f"from {wins.min():.2f} to {wins.max():.3f}" if len(wins) else "nowhere"
Markdown(f"""
Laplace has kurtosis {laplace.kurtosis:.0f}, {t.name} has {t.kurtosis:.2f}. At cosine {cosine:g} Laplace weights can
lose {laplace.amount_at(cosine):.1%}, those of {t.name} {t.amount_at(cosine):.1%}. Their optimal amounts are
{laplace.optimal.amount:.4f} and {t.optimal.amount:.4f}. Of the cosines shown, Laplace weights can be pruned more
{where_ahead}.
""")

# %% [markdown]
# One direction of the claim does hold, and can be proved: a low kurtosis *forbids* much pruning at a high cosine, by
# $p \le 1 - c^4 / K$. [The theorem's page](../book/theorem.md) has it. A high kurtosis allows it, and promises nothing.
#
# ## Before and after training
#
# The paper says that networks cannot be pruned at initialisation, because fresh weights have a low kurtosis. Here is
# LeNet-5, the same network before and after it was trained on MNIST.

# %%
seeds = pretrained.lenet5_seeds()[:max_parents]
starts = [pretrained.lenet5(s, "init") for s in seeds] or [models.build("lenet5", seed)]
before = [wmgp.analyze(model.to(where)) for model in starts]
after = [wmgp.analyze(pretrained.lenet5(s).to(where)) for s in seeds]
stages = {"at initialisation": before, "trained": after} if after else {"at initialisation": before}
first = {name: reports[0] for name, reports in stages.items()}
normal = closed_forms.normal()

# %% mystnb={"image": {"alt": "Fronts of LeNet-5 at initialisation and trained, with a normal distribution's."}}
fronts_figure(
    {name: (a.front.amount, a.front.cosine) for name, a in first.items()} | {"normal": distribution_front(normal)},
    {name: a.optimal for name, a in first.items()} | {"normal": normal.optimal},
    lowest=0.4,
    least_amount=0.2,
)


# %% tags=["hide-input"]
def format_range(values: list[float], form: str) -> str:
    """Format the minimum and maximum of the values; a single number if both are equal."""
    ends = [format(min(values), form), format(max(values), form)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


statistics = [lambda a: a.kurtosis, lambda a: a.optimal.amount, lambda a: a.at_cosine(cosine).amount]
values = {name: [list(map(statistic, reports)) for statistic in statistics] for name, reports in stages.items()}
lines = "\n".join(
    f"| {name} | " + " | ".join(map(format_range, columns, (".2f", ".2f", ".1%"))) + " |"
    for name, columns in values.items()
)
all_raised = after and all(min(b) > max(a) for a, b in zip(*values.values(), strict=True))
Markdown(f"""
| LeNet-5 | kurtosis | optimal amount | amount at cosine {cosine:g} |
|---|---|---|---|
{lines}

Minimum and maximum of {len(before)} seeds. {"Training raises all three, whatever the seed." if all_raised else ""}
{"" if after else "No trained parents are recorded here."}
""")

# %% [markdown]
# So training does fatten the tails, and the fresh network's front does fall earlier. But look at the sizes. The front
# at initialisation is no cliff, and the rule is as ready to prune the fresh network, above the floor as always. That a
# fresh network should not be pruned cannot be read off its front.
#
# ## What is "the kurtosis of a network"?
#
# The paper reports one kurtosis for each trained network. It does not say how it was taken, and the choice matters more
# than training does. Batch normalisation starts with all its weights at one, among others near zero: those few are
# outliers.

# %%
labels = {"LeNet Small": "lenet_small", "ResNet18": "resnet18", "VGG11 BN": "vgg11_bn"}
networks = {"LeNet Small": "lenet_small"} if preset == "tiny" else labels
columns = {
    f"{label}, untrained": found for label, found in kurtosis_definitions.at_initialisation(networks, seed).items()
}
if seeds:
    columns["LeNet-5, MNIST"] = kurtosis_definitions.kurtosis_definitions(pretrained.lenet5(seeds[0]))
imagenet, live = pretrained.mobilenet_v2_report()
columns["MobileNetV2, ImageNet"] = imagenet["definitions"]
published_kurtosis = {f"{label}, untrained": f"*{published['kurtosis'][name]:.2f}*" for label, name in labels.items()}

# %% tags=["hide-input"]
table = {name: [f"{found[name]:.2f}" for found in columns.values()] for name in kurtosis_definitions.DEFINITIONS}
table["*published, trained network*"] = [published_kurtosis.get(column, "") for column in columns]
lines = "\n".join(f"| {name} | {' | '.join(row)} |" for name, row in table.items())
Markdown(f"""
| kurtosis | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{lines}
""")

# %% tags=["hide-input"]
ratios = {name: max(found.values()) / min(found.values()) for name, found in columns.items()}
widest = max(ratios, key=lambda name: ratios[name])
Markdown(f"""
For {widest}, the largest of these numbers is {ratios[widest]:.0f} times the smallest. The published ones are of
networks trained on CIFAR-10, whose weights are not to be had, so we cannot say which line they are. `wmgp` reports the
first line, which is of the pool that the paper prunes, and the kurtosis of each tensor beside it.
""")

# %% [markdown]
# ## Kurtosis of kurtoses
#
# For networks whose layers differ, the paper takes the kurtosis of each weight and bias tensor, and then the kurtosis
# $k_2$ of that list. Where $k_2$ is high it prunes less: the *safe* amount is the optimal one over $\ln k_2$. In the
# authors' code it is over $\log_2 k_2$ where $k_2 < e$.

# %%
mobilenet_k2 = imagenet["analysis"]["kurtosis_of_kurtoses"]
marks = {"LeNet-5": after[0].kurtosis_of_kurtoses} if after else {}

# %% mystnb={"image": {"alt": "The safe rule's factor against the kurtosis of kurtoses, with its jump at e."}}
modifier_figure(np.geomspace(1.3, 100, 400), marks | {"MobileNetV2": mobilenet_k2})

# %% tags=["hide-input"]
below, above = safe_modifier(math.e - 1e-9), safe_modifier(math.e)
pair = [wmgp.kurtosis([a, b]) for a, b in ((2.0, 3.0), (1.8, 900.0))]
n_tensors = 50
one_outlier, bound = wmgp.kurtosis([0.0] * (n_tensors - 1) + [1.0]), n_tensors - 2 + 1 / (n_tensors - 1)
norm = wmgp.analyze({"norm.weight": np.ones(8), "a.weight": np.arange(1, 9.0), "b.weight": np.arange(1, 9.0) ** 2})
Markdown(f"""
The rule has faults, and each can be seen here.

- **It jumps.** At $e$ the factor goes from {below:.3f} up to {above:.3f} as $k_2$ *rises*: the network that is less
  safe by the rule's own measure is pruned more.
- **It can prune more than the optimum.** Below 2 the factor exceeds one. At 1.5 it is {safe_modifier(1.5):.2f}. `wmgp`
  limits it to one.
- **It says nothing of two tensors.** Any two different numbers have the same kurtosis: 2 and 3 have {pair[0]:.3g}, 1.8
  and 900 have {pair[1]:.3g}. The logarithm of one is zero, and the factor infinite.
- **It is undefined where a tensor is constant**, as those of a fresh batch normalisation are. `wmgp` leaves them out
  and says so: “{norm.warnings[0]}”.
- **It measures how many tensors there are.** Of $n$ numbers the kurtosis is at most $n - 2 + 1/(n - 1)$. One odd one
  among {n_tensors} attains it: {one_outlier:.2f}, where the bound is {bound:.2f}. The more tensors, the higher $k_2$
  may go.
""")

# %% [markdown]
# ## MobileNetV2
#
# MobileNetV2 is the paper's case for being careful: a global prune is said to cut whole layers. Its trained weights
# are to be had, so here it is.

# %% tags=["hide-input"]
published_k2, analysis = published["kurtosis_of_kurtoses"], imagenet["analysis"]
optimal, safe, at_cosine = analysis["optimal"], analysis["safe"], imagenet["advised"]
live_text = "The weights were read from torchvision's file on the machine that ran this page."
recorded_text = "torchvision's file of weights is not here. What follows is read from `results/mobilenet_v2.json`."
Markdown(f"""
{live_text if live else recorded_text}

Of its {analysis["n_parameters"]:,} weights the kurtosis of kurtoses is **{mobilenet_k2:.2f}**. The paper has
{published_k2["mobilenet_v2"]:.2f}, and {published_k2["well_behaved_low"]:.2f} to
{published_k2["well_behaved_high"]:.2f} for networks that behave well. So the paper most likely began with these
weights, or with weights much like them.

- optimal: prune {optimal["amount"]:.0%}, cosine {optimal["cosine"]:.3f};
- safe: prune {safe["amount"]:.1%}, cosine {safe["cosine"]:.4f};
- at cosine {CAREFUL_COSINE:g}: prune {at_cosine["amount"]:.1%}.
""")

# %%
tensors = DataFrame(analysis["tensors"])

# %% mystnb={"image": {"alt": "What is left of each tensor of MobileNetV2 at the optimal and at the safe amount."}}
survival_figure(tensors)


# %% tags=["hide-input"]
def format_power(value: float) -> str:
    """Format a number with one digit, for example 3·10⁻⁴."""
    digits, exponent = f"{value:.0e}".split("e")
    return digits + "·10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


matrices = tensors[tensors["shape"].map(len) >= 2]
emptied = {which: tensors[tensors[f"pruned_at_{which}"] == tensors["n"]] for which in ("optimal", "safe")}
n_emptied_matrices = len(matrices.index.intersection(emptied["optimal"].index)) or "none"
emptied_mean_square, matrix_mean_square = (
    rows["energy"].sum() / rows["n"].sum() for rows in (emptied["optimal"], matrices)
)
worst = matrices.assign(lost=matrices["pruned_at_optimal"] / matrices["n"]).nlargest(1, "lost").to_dict("records")[0]
filters = imagenet["filters"]
Markdown(f"""
At the optimal amount {len(emptied["optimal"])} of {len(tensors)} tensors lose everything, {n_emptied_matrices} of them
with two or more dimensions. At the safe amount {len(emptied["safe"])} do. The first of them is
`{list(emptied["optimal"]["name"])[0]}`, a shift of batch normalisation. The mean square of all their values is
{format_power(emptied_mean_square)}, against {format_power(matrix_mean_square)} in the tensors of two or more
dimensions: they were as good as zero before.

Of the larger tensors `{worst["name"]}` loses most, {worst["lost"]:.1%}. Filters tell more
than tensors: of {filters["all"]:,} output filters {filters["optimal"]:,} ({filters["optimal"] / filters["all"]:.1%})
lose every weight at the optimal amount, {filters["safe"]:,} at the safe one.
""")

# %% [markdown]
# So no layer is cut off whole. Many filters are, and that is harm enough to be careful. Count them, and do not look at
# $k_2$ alone.
#
# ## What to conclude
#
# - Within one family of distributions kurtosis orders how much can be pruned. Between families it does not. The front
#   itself answers the question, and costs no more.
# - Before quoting the kurtosis of a network, say which tensors are in it.
# - The safe rule is a rule of thumb with edges. Use it as a warning, and look at what is left of each tensor, which
#   `wmgp analyze --tensors` shows.
# - All of these numbers change when a layer is multiplied by a number and the next one divided by it, which leaves a
#   network with ReLU as it is. [Errata and open questions](../book/errata.md) has more.
