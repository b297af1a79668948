# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How much to prune
#
# The front says which cosine each amount costs. To pick one amount, the paper takes the point of the front nearest to
# *utopia*: everything pruned, nothing lost. This page shows what that rule answers, for distributions whose answer is
# known in closed form and for real networks. It also shows what the rule can never answer: less than 65 percent.
#
# ```{verdicts} C7
# From all that was measured for this book; the page [What holds](../book/claims.md) has every figure.
# ```

# %% tags=["parameters"]
preset: str = "default"  # "default" or "tiny": tiny runs in seconds, with fewer points and no large network
device: str = "auto"  # "auto" (a GPU if available), "cpu" or "cuda"
seed: int = 0  # random seed
n_weights: int = 100_000  # weights per distribution that `wmgp.analyze` is run on
n_made_up: int = 150  # random distributions per family in the search for an optimum below the floor
cosine: float = 0.99  # cosine to keep without fine-tuning, as the authors advise
always: float = 0.8  # the constant amount that the rule is compared with

# %% tags=["hide-input"]
import json
from types import SimpleNamespace

import numpy as np
from IPython.display import Markdown

import wmgp
from studies.how_much.figure import distance_figure, grid_figure, optima_figure
from studies.shared import pretrained
from studies.shared.front_figures import distribution_front, fronts_figure
from wmgp import closed_forms
from wmgp.experiments import models, notebook
from wmgp.experiments.results import formatting, tables
from wmgp.experiments.training.loop import choose_device

notebook.check_choice("preset", preset, notebook.PRESETS)
notebook.check_integer("seed", seed, 0, 2**31)
n_weights = notebook.check_integer("n_weights", n_weights, 100, 10**7)
n_made_up = notebook.check_integer("n_made_up", n_made_up, 1, 10**5)
cosine = notebook.check_between("cosine", cosine, 0, 1)
always = notebook.check_between("always", always, 0, 1)
if preset == "tiny":
    n_weights, n_made_up = min(n_weights, 2_000), min(n_made_up, 30)
where = choose_device(device)

# %% [markdown]
# ## Front and utopia, in closed form
#
# For some distributions of weights the whole front can be written down, with no network at all. Pruning the share $p$
# of smallest magnitudes loses a share $\ell(p)$ of the sum of squares, and leaves the cosine $\sqrt{1 - \ell(p)}$.
# [The theorem's page](../book/theorem.md) derives them.

# %%
families = [closed_forms.equal(), closed_forms.uniform(), closed_forms.normal(), closed_forms.laplace()]

# %% mystnb={"image": {"alt": "Fronts of four distributions with their points nearest to utopia at the top right."}}
fronts_figure({d.name: distribution_front(d) for d in families}, {d.name: d.optimal for d in families})

# %% [markdown]
# The thin dotted lines are the distances to utopia. The heavier the tails, the longer the front stays near the top, and
# the more the rule prunes. Here are its answers, and beside them those of `wmgp.analyze`, which is given weights that
# follow the distribution and knows nothing of the formula.


# %%
def row(d: closed_forms.Distribution) -> str:
    """Return a table row: exact optimum, optimum on the grid, amount at `cosine`, excess distance at `always`."""
    a, exact = wmgp.analyze({"weight": d.weights(n_weights).astype("float32")}), d.optimal
    excess = d.distance(always) / exact.distance - 1
    return (
        f"| {d.name} | {exact.amount:.4f} | {a.optimal.amount:.2f} | {exact.cosine:.4f} | {a.optimal.cosine:.4f} "
        f"| {d.amount_at(cosine):.1%} | {excess:+.1%} |"
    )


# %% tags=["hide-input"]
lines = "\n".join(map(row, families))
header = "| distribution | optimal amount (exact) | optimal amount (grid) | cosine (exact) | cosine (grid) "
header += f"| amount at cosine {cosine:g} | excess distance at {always:.0%} |"
Markdown(f"""
{header}
|---|---|---|---|---|---|---|
{lines}

*Amount at cosine {cosine:g}*: the largest amount that keeps this cosine. *Excess distance at {always:.0%}*: how much
farther from utopia the constant amount of {always:.0%} is than the optimal amount.
""")

# %% [markdown]
# Two things to notice. The answers lie close together: the rule has little to choose from. And the fixed amount of the
# last column, which looks at nothing, is not much farther from utopia. Whoever reports the rule's answer should report
# the fixed amount beside it.
#
# ## Real weights

# %%
seeds = [s for s in pretrained.lenet5_seeds() if preset == "default" or s == seed] or [seed]
trained = bool(pretrained.lenet5_seeds()) and seeds[0] in pretrained.lenet5_seeds()
lenets = [(pretrained.lenet5(s) if trained else models.build("lenet5", s)).to(where) for s in seeds]
lenet_reports = [wmgp.analyze(model) for model in lenets]
imagenet, live = pretrained.mobilenet_v2_report()

# %%
networks = {"LeNet-5, MNIST": lenet_reports[0].to_dict()} if trained else {}
networks["LeNet-5, untrained"] = wmgp.analyze(models.build("lenet5", seeds[0]).to(where)).to_dict()
networks["MobileNetV2, ImageNet"] = imagenet["analysis"]
if preset == "default":
    networks["ResNet18, untrained"] = wmgp.analyze(models.build("resnet18", seed).to(where)).to_dict()
fronts = {name: (a["front"]["amount"], a["front"]["cosine"]) for name, a in networks.items()}
optima = {name: SimpleNamespace(**a["optimal"]) for name, a in networks.items()}
normal = closed_forms.normal()

# %% tags=["hide-input"]
seed_text = ", ".join(part.replace("-", " to ") for part in formatting.format_integer_ranges(seeds).split())
seed_text = f"seed {seed_text}" if len(seeds) == 1 else f"seeds {seed_text}"
parents = f"trained on MNIST and recorded with this book, {seed_text}" if trained else "untrained"
origin = "read from their file on the machine that ran this page" if live else "as recorded: their file is not here"
Markdown(f"LeNet-5: {parents}. MobileNetV2: torchvision's ImageNet weights, {origin}.")

# %% mystnb={"image": {"alt": "Fronts of real networks beside that of the normal distribution, optima marked."}}
fronts_figure(fronts | {"normal": distribution_front(normal)}, optima | {"normal": normal.optimal}, lowest=0.4)

# %% tags=["hide-input"]
lenet_at_cosine = [report.at_cosine(cosine).amount for report in lenet_reports]
lenet_optimal = [report.optimal.amount for report in lenet_reports]
published_l1 = json.loads(tables.locate("published.json").read_text())["landscape"]["l1"]
at_cosine = {name: max(a for a, c in zip(*curve, strict=True) if c >= cosine) for name, curve in fronts.items()}
lines = "\n".join(f"| {name} | {p.amount:.2f} | {p.cosine:.3f} | {at_cosine[name]:.2f} |" for name, p in optima.items())
Markdown(f"""
| network | optimal amount | cosine at the optimum | amount at cosine {cosine:g} |
|---|---|---|---|
{lines}

The optimal amount of the LeNet-5 lies between {min(lenet_optimal):.2f} and {max(lenet_optimal):.2f}. To keep a cosine
of {cosine:g} they may lose {min(lenet_at_cosine):.1%} to {max(lenet_at_cosine):.1%}.

The paper's L1 prune to cosine {published_l1["cosine"]:g} removes {published_l1["amount"]:.0%} (its Figure 4). At cosine
{cosine:g} no network of this table may lose more than {max(at_cosine.values()):.0%}.
""")

# %% [markdown]
# Trained or not, deep or shallow: the rule's answers lie in a narrow range. Untrained networks, which can do nothing
# yet, are told to lose most of their weights too. That is no accident.
#
# ## The floor
#
# *In the continuum the rule never answers less than 65.2 percent, for any network.* In two lines:
#
# 1. Equal magnitudes have the front $c = \sqrt{1 - p}$. No front lies below it, and up to $p = 3/4$ the squared
#    distance of any front to utopia falls at least as fast as that of this one.
# 2. So no optimum comes before that of equal magnitudes. With $x = \sqrt{1 - p}$ its squared distance is
#    $x^4 + (1 - x)^2$, which is least where $2x^3 + x - 1 = 0$.
#
# [The theorem's page](../book/theorem.md) proves the first line. The root gives the number:

# %%
floor = closed_forms.smallest_optimum()
x = floor.cosine

# %% tags=["hide-input"]
residual = 2 * x**3 + x - 1
residual_text = "is zero to rounding" if abs(residual) < 1e-12 else f"is {residual:.1g}"
Markdown(f"x = {x:.10f}, where 2x³ + x - 1 {residual_text}. The floor is 1 - x² = **{floor.amount:.10f}**.")

# %% [markdown]
# Proofs can be wrong, so let us look for a distribution that breaks the floor: generalised normals of any shape,
# Student's t of any degree, and weights of two sizes only, drawn at random.

# %%
rng = np.random.default_rng(seed)
random_optima = {
    "generalised normal": [closed_forms.generalised_normal(s).optimal for s in np.exp(rng.uniform(-1, 4, n_made_up))],
    "Student-t": [closed_forms.student_t(2 + np.exp(t)).optimal for t in rng.uniform(-2, 4, n_made_up)],
    "two sizes": [
        closed_forms.two_levels(np.exp(share), np.exp(ratio)).optimal
        for share, ratio in zip(rng.uniform(-7, -0.01, n_made_up), rng.uniform(0, 4, n_made_up), strict=True)
    ],
}
lowest = min((p for points in random_optima.values() for p in points), key=lambda p: p.amount)

# %% mystnb={"image": {"alt": "Optima of made-up distributions, amount against cosine: none left of the floor."}}
optima_figure(random_optima)

# %% tags=["hide-input"]
Markdown(f"""
The least of {3 * n_made_up:,} answers is {lowest.amount:.6f}, above the floor of {floor.amount:.6f}. Near it are
weights of nearly equal size.
""")

# %% [markdown]
# ## One optimum, in a wide valley
#
# The distance to utopia is a convex function of the amount, so it has one valley and no second minimum.

# %%
curves = {d.name: (np.linspace(0, 1, 1001), d.distance(np.linspace(0, 1, 1001))) for d in families}
valley = {name: x[y <= 1.01 * y.min()] for name, (x, y) in curves.items()}
smallest_difference = min(np.diff(y, 2).min() for _, y in curves.values())

# %% mystnb={"image": {"alt": "Distance to utopia against amount: four curves, each with a single flat valley."}}
distance_figure(curves)

# %% tags=["hide-input"]
valley_text = ", ".join(f"{name} {part[0]:.3f} to {part[-1]:.3f}" for name, part in valley.items())
convex_text = (
    "no second difference is negative"
    if smallest_difference > -1e-12
    else f"the least second difference is {smallest_difference:.1g}"
)
convex_text += " but by rounding" if -1e-12 < smallest_difference < 0 else ""
small = wmgp.pareto_front({"weight": np.ones(20)})
n_negative = int((np.diff(small.distance, 2) < -1e-9).sum())
Markdown(f"""
On a grid of a thousand steps {convex_text}. The valley is flat. All of these amounts have a distance within 1% of the
least:
{valley_text}. The third digit of an optimal amount means nothing.

In a very small network rounding breaks convexity: with 20 equal weights, {n_negative} of {len(small) - 2} second
differences are negative. So `wmgp` looks at every point of the grid.
""")

# %% [markdown]
# ## Grid and continuum
#
# The paper tries the amounts 0, 0.01, ..., 1. How much does that cost? Since the distance is convex, the grid's answer
# is one of the two grid points beside the true optimum, so it is wrong by less than a step.

# %%
sizes = np.unique(np.geomspace(11, 1001, 8 if preset == "tiny" else 25).round().astype(int))
errors = {
    d.name: [float(g[np.argmin(d.distance(g))]) - d.optimal.amount for g in (np.linspace(0, 1, n) for n in sizes)]
    for d in families
}

# %% mystnb={"image": {"alt": "Error of the grid's optimum against grid points: below one step for all four."}}
grid_figure(sizes.tolist(), errors)

# %% tags=["hide-input"]
grid = np.linspace(0, 1, 101)
grid_optima = {d.name: grid[np.argmin(d.distance(grid))] for d in families}
excess = max(float(d.distance(grid_optima[d.name])) / d.optimal.distance - 1 for d in families)
Markdown(f"""
On the paper's grid of 101 points the answers are: {", ".join(f"{name} {a:.2f}" for name, a in grid_optima.items())}.
Their distances exceed the least ones by {excess:.2%} at most. The grid is fine enough. Note that it lets equal
magnitudes go to {grid_optima["equal magnitudes"]:.2f}, a little below the floor of the continuum.
""")

# %% [markdown]
# ## What to conclude
#
# - The rule has one answer, and it is easy to compute: one ordering of the weights.
# - It lies above the floor for every network, and for the usual ones in a narrow range. So it says little about *this*
#   network. A fixed amount comes close at the rule's own aim.
# - The amount at a cosine near one spreads wider, and costs little by construction.
# - None of this has looked at what a network computes. Prune, measure, and only then believe.
#
# Next: [what kurtosis has to do with it](03_kurtosis.ipynb).
