// Histogram of magnitudes by the upper 19 of their 31 bits, with sums of the lower 12 bits and of their squares. All
// are integers, so the result does not depend on the order of the values or on block boundaries.
"use strict";

wmgp.defineModule((wmgp) => {
  const BINS = 1 << 19;
  const SLOTS = 1 << 12;
  const FLUSH = 1 << 26; // values between two drains: up to here the sums of squares are exact in float64
  const INFINITE = 0x7f800000; // magnitudes from these bits on are infinity or NaN
  const STRIDE = 4; // numbers per bin: count, sum of slots, sum of squared slots, unused

  const word = new Uint32Array(1);
  const float = new Float32Array(word.buffer);

  // The magnitude of a slot of a bin.
  function valueAt(bin, slot) {
    word[0] = (bin << 12) | slot;
    return float[0];
  }

  function nearMean(values) {
    const head = Math.min(values.length, 4096);
    let total = 0;
    for (let i = 0; i < head; i++) total += values[i] - values[0];
    return values[0] + total / head;
  }

  // Count a block's magnitudes and return the bits of the largest.
  function countBins(bits, table) {
    let largest = 0;
    for (let i = 0; i < bits.length; i++) {
      const magnitude = bits[i] & 0x7fffffff;
      const slot = magnitude & 0xfff;
      const place = (magnitude >>> 12) << 2;
      if (magnitude > largest) largest = magnitude;
      table[place] += 1;
      table[place + 1] += slot;
      table[place + 2] += slot * slot;
    }
    return largest;
  }

  function largestOf(bits) {
    let largest = 0;
    for (let i = 0; i < bits.length; i++) largest = Math.max(largest, bits[i] & 0x7fffffff);
    return largest;
  }

  // The moments of a block of floats. Two sets of sums let additions overlap.
  function momentsOf(values) {
    const centre = nearMean(values);
    let [a1, a2, a3, a4, b1, b2, b3, b4] = [0, 0, 0, 0, 0, 0, 0, 0];
    const even = values.length & ~1;
    for (let i = 0; i < even; i += 2) {
      const a = values[i] - centre;
      const b = values[i + 1] - centre;
      const aa = a * a;
      const bb = b * b;
      a1 += a;
      a2 += aa;
      a3 += aa * a;
      a4 += aa * aa;
      b1 += b;
      b2 += bb;
      b3 += bb * b;
      b4 += bb * bb;
    }
    if (even < values.length) {
      const a = values[even] - centre;
      a1 += a;
      a2 += a ** 2;
      a3 += a ** 3;
      a4 += a ** 4;
    }
    return wmgp.momentsFromPowers(values.length, centre, a1 + b1, a2 + b2, a3 + b3, a4 + b4);
  }

  class BlockHistogram {
    constructor() {
      this.table = new Float64Array(BINS * STRIDE);
      this.pending = 0;
      this.totals = new Map(); // bin -> [count, low, square], the last two as BigInt
    }

    // Return {moments, finite, counted}, and count the block if it is prunable; `counted`: patterns of half precision.
    count(block, dtype, prunable) {
      if (block.length === 0) return { moments: wmgp.EMPTY_MOMENTS, finite: true };
      if (this.pending + block.length > FLUSH) this.drain();
      if (prunable) this.pending += block.length;
      return wmgp.isHalf(dtype) ? this.countHalves(block, dtype, prunable) : this.countFloats(block, prunable);
    }

    countFloats(values, prunable) {
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
      const finite = (prunable ? countBins(bits, this.table) : largestOf(bits)) < INFINITE;
      return { moments: finite ? momentsOf(values) : wmgp.EMPTY_MOMENTS, finite };
    }

    countHalves(block, dtype, prunable) {
      const counted = wmgp.countPatterns(block);
      const bits = wmgp.float32Bits(dtype);
      let largest = 0;
      for (const [i, pattern] of counted.patterns.entries()) {
        const magnitude = bits[pattern] & 0x7fffffff; // its lower 12 bits are zero
        largest = Math.max(largest, magnitude);
        if (prunable) this.table[(magnitude >>> 12) << 2] += counted.counts[i];
      }
      const finite = largest < INFINITE;
      return { moments: finite ? wmgp.momentsOfPatterns(counted, dtype) : wmgp.EMPTY_MOMENTS, finite, counted };
    }

    drain() {
      for (let bin = 0, place = 0; bin < BINS; bin++, place += STRIDE) {
        if (!this.table[place]) continue;
        const [count, low, square] = this.totals.get(bin) ?? [0, 0n, 0n];
        const sums = [BigInt(this.table[place + 1]), BigInt(this.table[place + 2])];
        this.totals.set(bin, [count + this.table[place], low + sums[0], square + sums[1]]);
      }
      this.table.fill(0);
      this.pending = 0;
    }

    // The bins with values so far, ascending, each {bin, count, low, square}.
    histogram() {
      this.drain();
      const bins = [...this.totals].map(([bin, [count, low, square]]) => ({ bin, count, low, square }));
      return bins.sort((a, b) => a.bin - b.bin);
    }
  }

  Object.assign(wmgp, { BINS, SLOTS, BlockHistogram, valueAt });
});
