"""A small vision transformer, and what of a transformer the paper's pool can prune.

The network is torchvision's, with the patches, class token, positions and encoder of Dosovitskiy et al. 2021
(arXiv:2010.11929, section 3.1). The paper's pool is whatever is called `weight` or `bias`. torch's
`nn.MultiheadAttention` keeps the projections of queries, keys and values in one tensor of another name,
`in_proj_weight`; this, its bias, the class token and the positions are never pruned, though they count in the cosine.
"""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn

IMAGE_SIZE, PATCH_SIZE = 28, 7  # pixels: 16 patches an image
HIDDEN, MLP, LAYERS, HEADS = 48, 192, 3, 4  # an MLP of four times the width, as published and as in BERT
FUSED_NAMES = ("in_proj_weight", "in_proj_bias")
PROJECTIONS = ("query", "key", "value")
# A part of a parameter's name in torchvision's transformers -> what it is; the first that fits.
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
    """The untrained network, [n, 1, 28, 28] -> [n, 10], as torchvision initialises it: the last layer's weights are 0.

    The global random state is left as it was.
    """
    from torchvision.models import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VisionTransformer(IMAGE_SIZE, PATCH_SIZE, LAYERS, HEADS, HIDDEN, MLP, num_classes=10)
        model.conv_proj = nn.Conv2d(1, HIDDEN, PATCH_SIZE, PATCH_SIZE)  # torchvision's own wants three channels
        nn.init.trunc_normal_(
            model.conv_proj.weight, std=PATCH_SIZE**-1.0
        )  # as torchvision draws it: 1 over fan-in's root
        nn.init.zeros_(model.get_parameter("conv_proj.bias"))
    return model


def parameter_kind(name: str) -> str:
    """What a parameter of a vision transformer of torchvision's is, by its name."""
    return next((what for part, what in KINDS.items() if part in name), "other")


def count_by_kind(model: nn.Module) -> pd.DataFrame:
    """A row for each kind of parameter in a vision transformer of torchvision's, the largest first.

    Columns kind, pooled (whether the paper's pool has it), n (values) and share (of all, in [0, 1]). The values are not
    looked at, so that the network may be on the device `meta`.
    """
    counts: dict[tuple[str, bool], int] = {}
    for name, values in model.named_parameters():
        key = parameter_kind(name), name.rpartition(".")[2] in ("weight", "bias")
        counts[key] = counts.get(key, 0) + values.numel()
    rows = [(*key, n, n / sum(counts.values())) for key, n in sorted(counts.items(), key=lambda item: -item[1])]
    return pd.DataFrame(rows, columns=pd.Index(["kind", "pooled", "n", "share"]))


def split_attention(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers as other code stores them: queries, keys and values as layers with a weight and a bias each.

    So do, for example, the BERTs of the library transformers. What is computed is the same.
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
