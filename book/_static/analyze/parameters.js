// Select the parameters among a checkpoint's tensors, and mark the prunable ones.
"use strict";

wmgp.defineModule((wmgp) => {
  const POOLS = ["weight_bias", "weights", "all"];
  // Buffers that checkpoints store among their parameters.
  const BUFFERS = new Set(
    ("running_mean running_var num_batches_tracked inv_freq freqs_cis cos_cached sin_cached masked_bias " +
      "attn_mask relative_position_index position_ids").split(" "),
  );

  const last = (name) => name.slice(name.lastIndexOf(".") + 1);
  const stem = (name, ending) => (name.endsWith(ending) ? name.slice(0, -ending.length) : name);

  // True for known names of buffers, and for the causal mask of older GPT checkpoints.
  function isBuffer({ name, shape }) {
    const causal = shape.length === 4 && shape[0] === 1 && shape[1] === 1 && shape[2] === shape[3];
    return BUFFERS.has(last(name)) || (name.endsWith("attn.bias") && causal);
  }

  function isPrunable({ name, shape }, pool) {
    if (pool === "weight_bias") return ["weight", "bias"].includes(last(name));
    return pool === "all" || shape.length >= 2;
  }

  // The floating-point parameters in the order of the tensors, without buffers. NAME_orig with NAME_mask, as written by
  // torch.nn.utils.prune, is one masked NAME.
  function collect({ label, tensors }, pool) {
    if (!POOLS.includes(pool)) throw new wmgp.InputError(`pool '${pool}': expected one of ${POOLS.join(", ")}`);
    const named = new Map(tensors.map((t) => [t.name, t]));
    const found = [];
    for (const t of tensors) {
      if (t.name.endsWith("_mask") && named.has(stem(t.name, "_mask") + "_orig")) continue;
      if (isBuffer(t) || !/^(float|bfloat|complex)/.test(t.dtype)) continue;
      check(t);
      const base = stem(t.name, "_orig");
      const mask = base === t.name ? undefined : named.get(base + "_mask");
      const p = mask ? { ...t, name: base, mask: checkedMask(mask, t) } : t;
      found.push({ ...p, prunable: isPrunable(p, pool) });
    }
    if (found.length) return found;
    const expected = Object.keys(wmgp.ARRAYS).join(", ");
    throw new wmgp.InputError(`${label}: no floating-point parameters, expected some of ${expected}`);
  }

  function check({ name, dtype }) {
    if (Object.hasOwn(wmgp.ARRAYS, dtype)) return;
    const expected = Object.keys(wmgp.ARRAYS).join(", ");
    throw new wmgp.InputError(`${name}: ${dtype} cannot be analysed, expected one of ${expected}`);
  }

  function checkedMask(mask, { n }) {
    if (mask.n === n) return mask;
    throw new wmgp.InputError(`${mask.name}: expected a mask of ${n} values, found ${mask.n}`);
  }

  Object.assign(wmgp, { POOLS, collect, isBuffer, isPrunable });
});
