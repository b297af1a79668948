// A pool's magnitudes in ascending levels, each with `count` values between two bounds. If the bounds are equal, as at
// every requested rank, counts and thresholds are exact.
"use strict";

wmgp.defineModule((wmgp) => {
  const STEEP = 1 / 512; // a bin across which the cosine falls by more than this is refined: at most 512

  // The first index of ascending numbers whose value is not below x.
  function firstNotBelow(sorted, x) {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  class Magnitudes {
    // Arrays of equal length; `energy` is the sum of squares of each level.
    constructor({ smallest, largest, count, energy }) {
      Object.assign(this, { smallest, largest, count, energy });
      this.below = new Float64Array(count.length + 1); // values in the levels before each
      for (let i = 0; i < count.length; i++) this.below[i + 1] = this.below[i] + count[i];
      this.above = new Float64Array(count.length + 1); // summed from the top: small remainders keep their digits
      for (let i = count.length - 1; i >= 0; i--) this.above[i] = this.above[i + 1] + energy[i];
    }

    get n() {
      return this.below[this.count.length];
    }

    // The level of the last pruned value.
    level(pruned) {
      return Math.max(firstNotBelow(this.below, pruned) - 1, 0);
    }

    // The energy that is kept when the `pruned` smallest values are pruned.
    keptEnergy(pruned) {
      const level = this.level(pruned);
      const left = this.below[level + 1] - pruned;
      return this.above[level + 1] + this.energy[level] * (left / this.count[level]);
    }

    // The largest pruned magnitude; NaN if nothing is pruned.
    threshold(pruned) {
      if (pruned === 0) return NaN;
      const level = this.level(pruned);
      const part = (pruned - this.below[level]) / this.count[level];
      return this.smallest[level] + (this.largest[level] - this.smallest[level]) * part;
    }

    // The largest number of smallest values that can be pruned while at least `kept` energy remains.
    mostPruned(kept) {
      let [low, high] = [0, this.above.length]; // the last level that starts with enough energy
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (this.above[middle] >= kept) low = middle + 1;
        else high = middle;
      }
      const level = low - 1;
      if (level < 0) return 0;
      if (level >= this.count.length) return this.n;
      const spare = ((this.above[level] - kept) / this.energy[level]) * this.count[level];
      let n = Math.min(this.below[level] + Math.floor(spare) + 1, this.n);
      while (n > 0 && this.keptEnergy(n) < kept) n--;
      return n;
    }

    // The number of pruned values that equal the threshold, at a rank that is exact.
    tiesPruned(pruned) {
      return pruned ? pruned - this.below[firstNotBelow(this.smallest, this.threshold(pruned))] : 0;
    }
  }

  // Sorted magnitudes, one level per value.
  function sortedLevels(values) {
    const energy = values.map((x) => x ** 2);
    return new Magnitudes({ smallest: values, largest: values, count: new Uint8Array(values.length).fill(1), energy });
  }

  // True if all values of a bin are equal, as in half precision.
  function isUniform({ count, low, square }) {
    const n = BigInt(count);
    const mean = low / n;
    return mean * n === low && mean * mean * n === square;
  }

  function columns(length) {
    return Object.fromEntries(["smallest", "largest", "count", "energy"].map((k) => [k, new Float64Array(length)]));
  }

  // A histogram's levels, one per bin.
  function coarseLevels(histogram) {
    const levels = columns(histogram.length);
    for (const [i, bin] of histogram.entries()) {
      const base = wmgp.valueAt(bin.bin, 0);
      const ulp = wmgp.valueAt(bin.bin, 1) - base;
      const value = isUniform(bin) ? base + ulp * Number(bin.low / BigInt(bin.count)) : null;
      levels.smallest[i] = value ?? base;
      levels.largest[i] = value ?? wmgp.valueAt(bin.bin, wmgp.SLOTS - 1);
      levels.count[i] = bin.count;
      const [low, square] = [Number(bin.low), Number(bin.square)];
      levels.energy[i] = bin.count * base ** 2 + 2 * base * ulp * low + ulp ** 2 * square;
    }
    return new Magnitudes(levels);
  }

  // Indices of the bins to refine: several different values, and a rank or a steep fall of the cosine inside.
  function binsToRefine(histogram, coarse, ranks) {
    const wanted = new Set(ranks.filter((rank) => rank > 0 && rank <= coarse.n).map((rank) => coarse.level(rank)));
    const whole = Math.max(coarse.above[0], 1e-300);
    for (let i = 0; i < histogram.length; i++) {
      if (Math.sqrt(coarse.above[i] / whole) - Math.sqrt(coarse.above[i + 1] / whole) > STEEP) wanted.add(i);
    }
    return [...wanted].sort((a, b) => a - b).filter((i) => !isUniform(histogram[i]));
  }

  // The coarse levels, with one level per value in the refined bins; `slots` has 4,096 counts for each of these.
  function fineLevels(histogram, coarse, refined, slots) {
    const found = slots.reduce((n, count) => n + (count > 0), 0);
    const levels = columns(coarse.count.length - refined.length + found);
    const names = Object.keys(levels);
    let [place, row] = [0, 0];
    for (let i = 0; i < histogram.length; i++) {
      if (i !== refined[row]) {
        for (const name of names) levels[name][place] = coarse[name][i];
        place++;
        continue;
      }
      for (let slot = 0; slot < wmgp.SLOTS; slot++) {
        const count = slots[row * wmgp.SLOTS + slot];
        if (!count) continue;
        const value = wmgp.valueAt(histogram[i].bin, slot);
        levels.smallest[place] = levels.largest[place] = value;
        levels.count[place] = count;
        levels.energy[place++] = count * value ** 2;
      }
      row++;
    }
    return new Magnitudes(levels);
  }

  Object.assign(wmgp, { firstNotBelow, Magnitudes, sortedLevels, coarseLevels, binsToRefine, fineLevels, isUniform });
});
