// How many magnitudes of a block lie below a threshold, and how many equal it.
"use strict";

wmgp.room((wmgp) => {
  const word = new Uint32Array(1);
  const float = new Float32Array(word.buffer);

  // [below, equal] for a threshold of at least 0, any float64.
  function countBelow(block, dtype, threshold) {
    if (dtype === "float64") return countFloat64(block, threshold);
    if (wmgp.isHalf(dtype)) return countTally(wmgp.tally(block), dtype, threshold);
    const { first, equal } = firstFloat32(threshold);
    const counts = countFloat32(new Uint32Array(block.buffer, block.byteOffset, block.length), first);
    return [counts[0], equal ? counts[1] : 0];
  }

  // The same of a half-precision tally.
  function countTally({ raws, counts }, dtype, threshold) {
    const { first, equal } = firstHalf(dtype, threshold);
    let [below, same] = [0, 0];
    for (let i = 0; i < raws.length; i++) {
      const magnitude = raws[i] & 0x7fff;
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

  // The bits of the smallest magnitude that is not below the threshold, and whether it equals it.
  function firstFloat32(threshold) {
    float[0] = threshold;
    const rounded = float[0];
    return { first: word[0] + (rounded < threshold ? 1 : 0), equal: rounded === threshold };
  }

  function firstHalf(dtype, threshold) {
    const values = new Float32Array(wmgp.widened(dtype).buffer);
    let [low, high] = [0, dtype === "float16" ? 0x7c00 : 0x7f80];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (values[middle] < threshold) low = middle + 1;
      else high = middle;
    }
    return { first: low, equal: values[low] === threshold };
  }

  // Magnitudes order as their bits do; the sign of a difference is counted, so that nothing branches.
  function countFloat32(bits, first) {
    let [below, upTo] = [0, 0];
    for (let i = 0; i < bits.length; i++) {
      const difference = (bits[i] & 0x7fffffff) - first;
      below += difference >>> 31;
      upTo += (difference - 1) >>> 31;
    }
    return [below, upTo - below];
  }

  Object.assign(wmgp, { countBelow, countTally });
});
