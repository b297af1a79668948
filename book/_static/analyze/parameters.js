// Select the parameters among a checkpoint's tensors, and mark the prunable ones.
"use strict";

wmgp.defineModule((wmgp) => {
  const POOLS = ["weight_bias", "weights", "all"];

  const last = (name) => name.slice(name.lastIndexOf(".") + 1);
  const stem = (name, ending) => (name.endsWith(ending) ? name.slice(0, -ending.length) : name);

  function isPrunable({ name, shape }, pool) {
    if (pool === "weight_bias") return ["weight", "bias"].includes(last(name));
    return pool === "all" || shape.length >= 2;
  }

  // {parameters, warnings}: the floating-point parameters in the order of the tensors, without buffers, which the
  // warnings name. NAME_orig with NAME_mask, as written by torch.nn.utils.prune, is one masked NAME.
  async function collect(checkpoint, pool) {
    const found = floatingTensors(checkpoint, pool);
    const buffers = await wmgp.findBuffers(found);
    const parameters = found.filter((p) => !buffers.includes(p.name));
    const doubtful = pool === "all" ? parameters.map((p) => p.name).filter(wmgp.mayBeBuffer) : [];
    const warnings = [];
    if (buffers.length) warnings.push(`left out as buffers (--include GLOB prunes them): ${buffers.join(", ")}`);
    if (doubtful.length) {
      const why = "these may be buffers instead of weights (--exclude GLOB keeps them)";
      warnings.push(`${why}: ${doubtful.join(", ")}`);
    }
    return { parameters, warnings };
  }

  function floatingTensors({ label, tensors }, pool) {
    if (!POOLS.includes(pool)) throw new wmgp.InputError(`pool '${pool}': expected one of ${POOLS.join(", ")}`);
    const named = new Map(tensors.map((t) => [t.name, t]));
    const found = [];
    for (const t of tensors) {
      if (wmgp.isState(t, named) || !/^(float|bfloat|complex)/.test(t.dtype)) continue;
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

  Object.assign(wmgp, { POOLS, collect, isPrunable });
});
