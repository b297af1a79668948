"""Unseen weights of the recorded full-size ResNet18 parents, without training them again.

Their trained weights were too large to keep. But only weight decay moves an unseen weight, so that it is its initial
value, which the seed gives, times the factor of the recipe. The rest follows from the recorded front.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from studies.unseen_weights.decay import decay_factor, steps_of
from wmgp.errors import InputError
from wmgp.experiments.models import build
from wmgp.experiments.results.tables import locate
from wmgp.experiments.training.recipes import experiment_config

RECORD = "parents/resnet18-cifar10-jpeg-seed{}.json"
N_TRAINING_IMAGES = 50_000
GROUPS = 2000  # of unseen weights of similar magnitude


@dataclass(frozen=True)
class Magnitudes:
    """Groups of weights of similar magnitude, in ascending order: their numbers and energies (sums of squares)."""

    count: Float[np.ndarray, " groups"]
    energy: Float[np.ndarray, " groups"]

    def sorted_with(self, other: "Magnitudes") -> "Magnitudes":
        """Return both groups together, in ascending order of their mean square."""
        count, energy = (np.concatenate(pair) for pair in ((self.count, other.count), (self.energy, other.energy)))
        order = np.argsort(energy / np.maximum(count, 1))
        return Magnitudes(count[order], energy[order])

    def amount_at(self, cosine: float) -> float:
        """Return the largest amount of L1 pruning with at least this cosine; within a group all weights are equal."""
        lost = np.concatenate([[0], np.cumsum(self.energy)]) / self.energy.sum()
        return float(np.interp(1 - cosine**2, lost, np.concatenate([[0], np.cumsum(self.count)])) / self.count.sum())


def from_front(amounts: Float[np.ndarray, " a"], cosines: Float[np.ndarray, " a"], n: int, energy: float) -> Magnitudes:
    """Return a group for each step of the front of `n` weights, all of them in the pool, of this total energy."""
    return Magnitudes(np.diff(np.round(np.asarray(amounts) * n)), -np.diff(np.asarray(cosines) ** 2) * energy)


def split(every: Magnitudes, unseen: Float[np.ndarray, " u"]) -> tuple[Magnitudes, Float[np.ndarray, " groups"]]:
    """Return the groups of the seen weights, and the number of unseen ones in each group of `every`.

    The border of two groups is the middle of their root mean squares. `unseen`: magnitudes.
    """
    level = np.sqrt(every.energy / np.maximum(every.count, 1))
    place = np.searchsorted((level[1:] + level[:-1]) / 2, unseen)
    count = np.bincount(place, minlength=len(level)).astype(float)
    energy = np.bincount(place, unseen**2, minlength=len(level))
    left = np.maximum(every.count - count, 0)
    return Magnitudes(left, np.where(left > 0, np.maximum(every.energy - energy, 0), 0)), count


def grouped(magnitudes: Float[np.ndarray, " u"], factor: float = 1.0) -> Magnitudes:
    """Return `GROUPS` groups of these magnitudes, times `factor`."""
    parts = np.array_split(np.sort(magnitudes) * factor, GROUPS)
    return Magnitudes(np.array([float(len(p)) for p in parts]), np.array([float(p @ p) for p in parts]))


def unseen_magnitudes(seed: int, masks: dict[str, Tensor]) -> Float[np.ndarray, " u"]:
    """Return the initial magnitudes of ResNet18's unseen weights. InputError if the recorded energies differ."""
    model = build("resnet18", seed)
    recorded = {row["name"]: row["energy"] for row in _record(seed)["initial"]["analysis"]["tensors"]}
    values = []
    for name, p in model.named_parameters():
        x = p.detach().double()
        if abs(float(x.pow(2).sum()) - recorded[name]) > 1e-6 * recorded[name]:
            raise InputError(f"{name}: its initial weights of seed {seed} are not the recorded ones")
        values.append(x[masks[name]].abs().numpy())
    return np.concatenate(values)


def recorded_parent(seed: int, masks: dict[str, Tensor], factors: tuple[float, ...]) -> dict[str, Any]:
    """Return a row for a recorded parent: decay, unseen share of energy and of two prunes, amounts as they shrink."""
    config = experiment_config("resnet18", "cifar10")
    decay = decay_factor(config.recipe, steps_of(config.recipe, N_TRAINING_IMAGES, config.epochs))
    record = _record(seed)
    analysis = record["trained"]["analysis"]
    energy = sum(row["energy"] for row in analysis["tensors"])
    amounts, cosines = (np.array(analysis["front"][name]) for name in ("amount", "cosine"))
    every = from_front(amounts, cosines, analysis["n_parameters"], energy)
    unseen = decay * unseen_magnitudes(seed, masks)
    seen, inside = split(every, unseen)
    share = np.cumsum(inside) / np.cumsum(every.count)
    return {
        "seed": seed, "accuracy": record["accuracy"], "decay": decay, "unseen": len(unseen),
        "parameters": analysis["n_parameters"], "energy_share": float(unseen @ unseen) / energy,
        **{f"share_at_{a}": float(np.interp(a, np.cumsum(every.count) / every.count.sum(), share)) for a in (0.2, 0.5)},
        "at_099_recorded": record["trained"]["rules"]["cosine 0.99"],
        "at_099_seen": seen.amount_at(0.99),
        **{f"at_099_times_{f:g}": seen.sorted_with(grouped(unseen, f)).amount_at(0.99) for f in factors},
    }  # fmt: skip


def _record(seed: int) -> dict[str, Any]:
    return json.loads(locate(RECORD.format(seed)).read_text(encoding="utf-8"))
