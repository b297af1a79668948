// Reject packed and quantised weights, as wmgp/io/unsupported.py does: the other floating-point tensors alone are not
// the network.
"use strict";

wmgp.defineModule((wmgp) => {
  const UNPACK =
    "analyse the model it was quantised from, or dequantize it (transformers: model.dequantize()) and save that";
  const FLOAT8 = "multiply it by its scales in bfloat16 or float32 and save that";
  const ENDS = ["weight", "_blocks"];

  function rejectQuantized({ label, tensors }) {
    const names = new Set(tensors.map((t) => t.name));
    for (const { name, dtype, shape } of tensors) {
      const what = `${label}: the tensor '${name}'`;
      if (/^(float8|F[468])/.test(dtype)) {
        throw new wmgp.InputError(`${what} is ${dtype}, which cannot be analysed; ${FLOAT8}`);
      }
      if (/^u?int/.test(dtype) && shape.length >= 2 && isWeight(name)) {
        throw new wmgp.InputError(`${what} holds ${scheme(name, dtype, names)}; ${UNPACK}`);
      }
    }
  }

  const last = (name) => name.slice(name.lastIndexOf(".") + 1);

  // True if integers with this name are packed weights, not an index, mask or counter.
  function isWeight(name) {
    const end = last(name);
    if (end.endsWith("_mask")) return false;
    return end.startsWith("weight") || ENDS.some((e) => end.endsWith(e)) || ["W_q", "qzeros"].includes(end);
  }

  // The quantisation scheme, by the names of the neighbouring tensors.
  function scheme(name, dtype, names) {
    const stem = name.slice(0, Math.max(name.lastIndexOf("."), 0));
    if (["qweight", "qzeros"].includes(last(name))) return `weights packed in ${dtype} (GPTQ or AWQ)`;
    if (names.has(`${stem}.SCB`)) return `weights in ${dtype} (bitsandbytes' 8 bits)`;
    if (names.has(`${name}.absmax`)) return `weights packed in ${dtype} (bitsandbytes' 4 bits)`;
    return `weights quantised or packed in ${dtype}`;
  }

  Object.assign(wmgp, { rejectQuantized });
});
