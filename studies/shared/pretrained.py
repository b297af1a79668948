"""Trained networks that are there without training: the recorded LeNet-5 parents, and MobileNetV2 on ImageNet.

MobileNetV2 is analysed where torchvision's file of weights is, and read from results/mobilenet_v2.json where it is not.
`python -m studies.shared.pretrained` writes that record. Nothing is ever downloaded: the file is looked for
where torch keeps such files (the environment variable `TORCH_HOME`).
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from wmgp.analysis import Analysis, analyze
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments.models import build
from wmgp.experiments.results import used_files
from wmgp.experiments.results.provenance import surroundings
from wmgp.experiments.results.tables import locate
from wmgp.experiments.statistics.kurtosis_definitions import kurtosis_definitions
from wmgp.io.atomic import write_atomic
from wmgp.pareto import CAREFUL_COSINE
from wmgp.pruning import global_masks

MOBILENET_FILE = "mobilenet_v2-b0353104.pth"
RECORD_FILE = "mobilenet_v2.json"
LENET5_FILE = "parents/lenet5-{}-seed{}.safetensors"  # stage and seed
COMMAND = "python -m studies.shared.pretrained"


def lenet5_seeds() -> list[int]:
    """The seeds of the LeNet-5 parents in results/parents, trained on MNIST."""
    try:
        folder = locate(LENET5_FILE.format("mnist", 0)).parent
    except InputError:
        return []
    return sorted(
        int(path.stem.rpartition("seed")[2]) for path in folder.glob(Path(LENET5_FILE.format("mnist", "*")).name)
    )


def lenet5(seed: int, stage: str = "mnist") -> nn.Module:
    """The recorded LeNet-5 of a seed: trained ("mnist"), or before that ("init"). InputError where there is none."""
    model = build("lenet5", seed)
    model.load_state_dict(load_file(locate(LENET5_FILE.format(stage, seed))))
    return model


def mobilenet_v2_file() -> Path | None:
    """Where torch keeps MobileNetV2's ImageNet weights; None where they are not on this machine."""
    path = Path(torch.hub.get_dir(), "checkpoints", MOBILENET_FILE)
    return path if path.is_file() else None


def mobilenet_v2() -> nn.Module:
    """torchvision's MobileNetV2 with its ImageNet weights. InputError where their file is missing."""
    if mobilenet_v2_file() is None:
        raise InputError(f"{MOBILENET_FILE}: set TORCH_HOME to a folder that holds it in hub/checkpoints")
    from torchvision.models import mobilenet_v2

    return mobilenet_v2(weights="IMAGENET1K_V1")


def measure(model: nn.Module) -> dict[str, Any]:
    """What the book shows of a network: its analysis, the prune at `ADVISED`, kurtoses by definition, dead filters."""
    analysis = analyze(model)
    return {
        "analysis": analysis.to_dict(),
        "advised": asdict(analysis.at_cosine(CAREFUL_COSINE)),
        "definitions": kurtosis_definitions(model),
        "filters": dead_filters(model, analysis),
    }


def dead_filters(model: nn.Module, analysis: Analysis) -> dict[str, int]:
    """How many output filters (rows of tensors of 2 or more dimensions) there are, and lose all at optimal and safe."""
    found = {"all": sum(p.shape[0] for p in model.parameters() if p.ndim >= 2)}
    for name, point in (("optimal", analysis.optimal), ("safe", analysis.safe)):
        masks = global_masks(model, point.amount if point else 0.0).values()
        found[name] = sum(int((~mask.flatten(1).any(1)).sum()) for mask in masks if mask.ndim >= 2)
    return found


def mobilenet_v2_report() -> tuple[dict[str, Any], bool]:
    """`measure` of the real network, and whether it was measured here (True) or read from results/ (False)."""
    if mobilenet_v2_file() is not None:
        used_files.names.add(RECORD_FILE)  # holds the same values; a notebook's metadata must not depend on the machine
        return measure(mobilenet_v2()), True
    path = locate(RECORD_FILE)
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        return {name: recorded[name] for name in ("analysis", "advised", "definitions", "filters")}, False
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: expected a record of MobileNetV2 ({error})") from error


def write_record(out: str | Path) -> None:
    """Write `measure` of the real network to `out`, whole or not at all, with where it comes from."""
    measured, path = measure(mobilenet_v2()), mobilenet_v2_file()
    assert path is not None
    provenance = {
        "network": "mobilenet_v2, torchvision's IMAGENET1K_V1",
        "data": path.name,
        "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "command": COMMAND,
        **surroundings(),
    }
    write_atomic(out, json.dumps({"provenance": provenance, **measured}, indent=1, allow_nan=False).encode() + b"\n")


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m studies.shared.pretrained", description="Record MobileNetV2.")
    parser.add_argument("--out", type=Path, default=Path("results", RECORD_FILE), help="(default: %(default)s)")
    write_record(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
