// Count the magnitudes of a block that lie below a threshold and that equal it.
"use strict";

wmgp.defineModule((wmgp) => {
  const word = new Uint32Array(1);
  const float = new Float32Array(word.buffer);

  // Return [below, equal] for a float64 threshold of at least 0.
  function countBelow(block, dtype, threshold) {
    if (dtype === "float64") return countFloat64(block, threshold);
    if (wmgp.isHalf(dtype)) return countPatternsBelow(wmgp.countPatterns(block), dtype, threshold);
    const { first, equal } = firstFloat32(threshold);
    const counts = countFloat32(new Uint32Array(block.buffer, block.byteOffset, block.length), first);
    return [counts[0], equal ? counts[1] : 0];
  }

  // The same for counted half-precision patterns.
  function countPatternsBelow({ patterns, counts }, dtype, threshold) {
    const { first, equal } = firstHalf(dtype, threshold);
    let [below, same] = [0, 0];
    for (let i = 0; i < patterns.length; i++) {
      const magnitude = patterns[i] & 0x7fff;
      if (magnitude < first) below += counts[i];
      else if (equal && magnitude === first) same += counts[i];
    }
    return [below, same];
  }

  function countFloat64(values, threshold) {
    let [below, equal] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const magnitude = Math.abs(values[i]);
      below += magnitude < threshold ? 1 : 0;
      equal += magnitude === threshold ? 1 : 0;
    }
    return [below, equal];
  }

  // The bits of the smallest float32 that is not below the threshold, and whether the two are equal.
  function firstFloat32(threshold) {
    float[0] = threshold;
    const rounded = float[0];
    return { first: word[0] + (rounded < threshold ? 1 : 0), equal: rounded === threshold };
  }

  function firstHalf(dtype, threshold) {
    const values = new Float32Array(wmgp.float32Bits(dtype).buffer);
    let [low, high] = [0, dtype === "float16" ? 0x7c00 : 0x7f80];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (values[middle] < threshold) low = middle + 1;
      else high = middle;
    }
    return { first: low, equal: values[low] === threshold };
  }

  // Magnitudes have the order of their bits. The sign bit of each difference is counted, which needs no branch.
  function countFloat32(bits, first) {
    let [below, upTo] = [0, 0];
    for (let i = 0; i < bits.length; i++) {
      const difference = (bits[i] & 0x7fffffff) - first;
      below += difference >>> 31;
      upTo += (difference - 1) >>> 31;
    }
    return [below, upTo - below];
  }

  Object.assign(wmgp, { countBelow, countPatternsBelow });
});
