"""Pretrained networks: the recorded LeNet-5 parents, and MobileNetV2 on ImageNet.

MobileNetV2 is analysed if torchvision's file of weights is present; otherwise its analysis is read from
results/mobilenet_v2.json, which `python -m studies.shared.pretrained` writes. Nothing is downloaded: the file must be
in torch's cache (environment variable `TORCH_HOME`).
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
    """Return the seeds of the LeNet-5 parents in results/parents, trained on MNIST."""
    try:
        folder = locate(LENET5_FILE.format("mnist", 0)).parent
    except InputError:
        return []
    return sorted(
        int(path.stem.rpartition("seed")[2]) for path in folder.glob(Path(LENET5_FILE.format("mnist", "*")).name)
    )


def lenet5(seed: int, stage: str = "mnist") -> nn.Module:
    """Return the recorded LeNet-5 of a seed, trained ("mnist") or untrained ("init"). InputError if it is missing."""
    model = build("lenet5", seed)
    model.load_state_dict(load_file(locate(LENET5_FILE.format(stage, seed))))
    return model


def mobilenet_v2_file() -> Path | None:
    """Return the path of MobileNetV2's ImageNet weights in torch's cache, or None if they are missing."""
    path = Path(torch.hub.get_dir(), "checkpoints", MOBILENET_FILE)
    return path if path.is_file() else None


def mobilenet_v2() -> nn.Module:
    """Return torchvision's MobileNetV2 with its ImageNet weights. InputError if their file is missing."""
    if mobilenet_v2_file() is None:
        raise InputError(f"{MOBILENET_FILE}: set TORCH_HOME to a folder that holds it in hub/checkpoints")
    from torchvision.models import mobilenet_v2

    return mobilenet_v2(weights="IMAGENET1K_V1")


def measure(model: nn.Module) -> dict[str, Any]:
    """Return the analysis, the point at `CAREFUL_COSINE`, kurtosis by several definitions and dead filters."""
    analysis = analyze(model)
    return {
        "analysis": analysis.to_dict(),
        "advised": asdict(analysis.at_cosine(CAREFUL_COSINE)),
        "definitions": kurtosis_definitions(model),
        "filters": dead_filters(model, analysis),
    }


def dead_filters(model: nn.Module, analysis: Analysis) -> dict[str, int]:
    """Return the number of filters (rows of tensors of 2+ dimensions), and of those emptied at optimal and safe."""
    found = {"all": sum(p.shape[0] for p in model.parameters() if p.ndim >= 2)}
    for name, point in (("optimal", analysis.optimal), ("safe", analysis.safe)):
        masks = global_masks(model, point.amount if point else 0.0).values()
        found[name] = sum(int((~mask.flatten(1).any(1)).sum()) for mask in masks if mask.ndim >= 2)
    return found


def mobilenet_v2_report() -> tuple[dict[str, Any], bool]:
    """Return `measure` of MobileNetV2, and True if it was measured now or False if it was read from results/."""
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
    """Write `measure` of MobileNetV2 and its provenance to `out`, atomically."""
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
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.shared.pretrained", description="Record MobileNetV2.")
    parser.add_argument("--out", type=Path, default=Path("results", RECORD_FILE), help="(default: %(default)s)")
    write_record(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
