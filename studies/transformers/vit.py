"""A small vision transformer, and the parameters of a transformer in the paper's pool.

The network is torchvision's, with the patches, class token, positions and encoder of Dosovitskiy et al. 2021
(arXiv:2010.11929, section 3.1). The paper's pool has all tensors named `weight` or `bias`. torch's
`nn.MultiheadAttention` stores the projections of queries, keys and values in one tensor, `in_proj_weight`. This tensor,
its bias, the class token and the positions are never pruned, but they count in the cosine.
"""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn

IMAGE_SIZE, PATCH_SIZE = 28, 7  # pixels: 16 patches per image
HIDDEN, MLP, LAYERS, HEADS = 48, 192, 3, 4  # an MLP of four times the width, as published and as in BERT
FUSED_NAMES = ("in_proj_weight", "in_proj_bias")
PROJECTIONS = ("query", "key", "value")
# Part of a parameter's name in torchvision's transformers -> its kind; the first match counts.
KINDS = {
    "in_proj_": "attention: queries, keys, values",
    "out_proj.": "attention: output",
    ".mlp.": "MLP",
    ".ln": "layer norms",
    "conv_proj.": "patches",
    "heads.": "last layer",
    "class_token": "class token",
    "pos_embedding": "positions",
}


def vit(seed: int) -> nn.Module:
    """Return the untrained network, [n, 1, 28, 28] -> [n, 10], initialised as in torchvision (last weights are 0).

    The global random state does not change.
    """
    from torchvision.models import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VisionTransformer(IMAGE_SIZE, PATCH_SIZE, LAYERS, HEADS, HIDDEN, MLP, num_classes=10)
        model.conv_proj = nn.Conv2d(1, HIDDEN, PATCH_SIZE, PATCH_SIZE)  # torchvision's layer needs three channels
        nn.init.trunc_normal_(
            model.conv_proj.weight, std=PATCH_SIZE**-1.0
        )  # torchvision's initialisation: 1 / sqrt(fan-in)
        nn.init.zeros_(model.get_parameter("conv_proj.bias"))
    return model


def parameter_kind(name: str) -> str:
    """Return the kind of a parameter of torchvision's vision transformers, by its name."""
    return next((what for part, what in KINDS.items() if part in name), "other")


def count_by_kind(model: nn.Module) -> pd.DataFrame:
    """Return one row for each kind of parameter in a vision transformer of torchvision, the largest first.

    Columns kind, pooled (True if in the paper's pool), n (values) and share (of all values, in [0, 1]). The values are
    not read, so the network may be on the device `meta`.
    """
    counts: dict[tuple[str, bool], int] = {}
    for name, values in model.named_parameters():
        key = parameter_kind(name), name.rpartition(".")[2] in ("weight", "bias")
        counts[key] = counts.get(key, 0) + values.numel()
    rows = [(*key, n, n / sum(counts.values())) for key, n in sorted(counts.items(), key=lambda item: -item[1])]
    return pd.DataFrame(rows, columns=pd.Index(["kind", "pooled", "n", "share"]))


def split_attention(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same weights with queries, keys and values split into layers with a weight and a bias each.

    The BERT models of the library transformers store them like this. The function of the network is the same.
    """
    parts: dict[str, Tensor] = {}
    for name, values in weights.items():
        above, _, last = name.rpartition(".")
        if last in FUSED_NAMES:
            for which, part in zip(PROJECTIONS, values.chunk(3), strict=True):
                parts[f"{above}.{which}.{last.removeprefix('in_proj_')}"] = part
        else:
            parts[name] = values
    return parts
