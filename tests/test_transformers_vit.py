"""The small vision transformer: parameter counts by hand, and the paper's pool."""

from typing import Any

import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

import wmgp
from studies.transformers.vit import count_by_kind, split_attention, vit

# By hand: 17 tokens of 48 numbers, patches of 49 pixels, an MLP of 192, three layers.
LAYER = {
    "attention: queries, keys, values": 3 * 48 * 48 + 3 * 48,
    "attention: output": 48 * 48 + 48,
    "MLP": 48 * 192 + 192 + 192 * 48 + 48,
    "layer norms": 4 * 48,
}
ONCE = {"patches": 49 * 48 + 48, "positions": 17 * 48, "class token": 48, "last layer": 48 * 10 + 10}
COUNTS = {name: 3 * n for name, n in LAYER.items()} | ONCE
COUNTS["layer norms"] += 2 * 48  # the final norm
OUTSIDE = {"attention: queries, keys, values", "positions", "class token"}


def test_kinds_by_hand():
    table: Any = count_by_kind(vit(0))
    assert dict(zip(table["kind"], table["n"], strict=True)) == COUNTS
    assert set(table.loc[~table["pooled"], "kind"]) == OUTSIDE
    assert table["share"].sum() == pytest.approx(1) and table["n"].is_monotonic_decreasing


def test_pools_by_hand():
    model, total = vit(0), sum(COUNTS.values())
    missed = sum(COUNTS[kind] for kind in OUTSIDE)
    paper, whole = (wmgp.analyze(model, pool=pool) for pool in ("weight_bias", "all"))
    assert (paper.n_parameters, paper.n_prunable) == (total, total - missed)
    assert (whole.n_parameters, whole.n_prunable) == (total, total)
    masks = wmgp.global_masks(model, 1.0)
    assert not {name for name in masks if "in_proj" in name or "class_token" in name or "pos_embedding" in name}
    assert not any(mask.any() for mask in masks.values())
    outside = sum(float(p.detach().double().pow(2).sum()) for name, p in model.named_parameters() if name not in masks)
    energy = sum(float(p.detach().double().pow(2).sum()) for p in model.parameters())
    assert paper.front.cosine[-1] == pytest.approx((outside / energy) ** 0.5, rel=1e-9)  # the whole pool is pruned


def test_parameters_are_counted_on_the_meta_device():
    with torch.device("meta"):
        from torchvision.models import vit_b_16

        table: Any = count_by_kind(vit_b_16()).set_index("kind")
    assert table["n"].sum() == 86_567_656  # as torchvision states
    assert table.loc["attention: queries, keys, values", "n"] == 12 * 3 * (768 * 768 + 768)


def test_initialisation_depends_only_on_the_seed():
    state = torch.get_rng_state()
    first, again, other = vit(3).state_dict(), vit(3).state_dict(), vit(4).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv_proj.weight"], other["conv_proj.weight"])
    assert vit(0)(torch.rand(2, 1, 28, 28)).tolist() == [[0.0] * 10] * 2  # the last layer starts at zero


def test_split_attention_gives_the_same_outputs():
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    torch.nn.init.normal_(attention.in_proj_bias)
    tokens = torch.rand(2, 5, 12)
    parts = split_attention({f"a.{name}": values for name, values in attention.state_dict().items()})
    assert set(parts) == {f"a.{layer}.{what}" for layer in ("query", "key", "value", "out_proj") for what in
                          ("weight", "bias")}  # fmt: skip
    query, key, value = (
        linear(tokens, parts[f"a.{which}.weight"], parts[f"a.{which}.bias"]).reshape(2, 5, 3, 4).transpose(1, 2)
        for which in ("query", "key", "value")
    )  # [images, heads, tokens, 4] each
    joined = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(2, 5, 12)
    mine = linear(joined, parts["a.out_proj.weight"], parts["a.out_proj.bias"])
    torch.testing.assert_close(mine, attention(tokens, tokens, tokens)[0])


def test_splitting_attention_changes_only_the_pool():
    weights = vit(0).state_dict()
    fused, parts = (wmgp.analyze(source) for source in (weights, split_attention(weights)))
    whole = wmgp.analyze(weights, pool="all")
    assert parts.n_parameters == fused.n_parameters
    assert parts.n_prunable == fused.n_parameters - COUNTS["positions"] - COUNTS["class token"]
    assert wmgp.analyze(split_attention(weights), pool="all").front.cosine == pytest.approx(
        whole.front.cosine, rel=1e-12
    )
