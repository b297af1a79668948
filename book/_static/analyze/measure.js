// A few passes over the parameters -> moments, levels and counts. The first takes the moments and the histogram; the
// second looks again only at the few bins that hold a boundary asked for; the third counts what a threshold prunes of
// each tensor. Small sources, and float64 ones, are sorted instead.
"use strict";

wmgp.room((wmgp) => {
  const SORTED_BELOW = 100_000; // values
  const SORTABLE = 1 << 25; // float64 values: so many can be held and sorted
  const [SMALLEST, LARGEST] = [1e-70, 1e70]; // the range of a largest magnitude whose fourth powers can be summed

  // {parameters, tensors (moments), bins (null: the values are sorted), coarse, levels(ranks), pruned(levels, ranks)}.
  async function measure(parameters, progress = () => {}, sortedBelow = SORTED_BELOW) {
    const n = parameters.reduce((total, p) => total + p.n, 0);
    const sorted = n < sortedBelow || parameters.some((p) => p.dtype === "float64");
    const found = sorted ? await sortedPass(parameters, n, progress) : await firstPass(parameters, progress);
    const { bins, coarse } = found;
    const levels = async (ranks) => (bins ? refinedLevels(parameters, bins, coarse, ranks, progress) : coarse);
    const pruned = (magnitudes, ranks) => prunedOfEach(parameters, magnitudes, ranks, progress);
    return { ...found, parameters, levels, pruned };
  }

  function refuseUnfinite(parameters, finite) {
    const place = finite.indexOf(false);
    if (place < 0) return;
    throw new wmgp.InputError(`${parameters[place].name}: expected finite values, found NaN or infinity`);
  }

  async function firstPass(parameters, progress) {
    const counter = new wmgp.Counter();
    const tensors = parameters.map(() => wmgp.EMPTY);
    const finite = parameters.map(() => true);
    const work = (place, block, { dtype, prunable }) => {
      const found = counter.count(block, dtype, prunable);
      tensors[place] = wmgp.merged(tensors[place], found.moments);
      finite[place] &&= found.finite;
    };
    await wmgp.eachBlock(parameters, work, progress);
    refuseUnfinite(parameters, finite);
    const bins = counter.histogram();
    return { tensors, bins, coarse: wmgp.coarseLevels(bins) };
  }

  async function sortedPass(parameters, n, progress) {
    if (n > SORTABLE) {
      const limit = SORTABLE.toLocaleString("en-US");
      const { name } = parameters.find((p) => p.dtype === "float64");
      throw new wmgp.InputError(`${name}: float64, of which this page takes ${limit} values; use wmgp analyze`);
    }
    const all = parameters.map((p) => new Float64Array(p.n));
    const filled = parameters.map(() => 0);
    await wmgp.eachBlock(parameters, (place, block, { dtype }) => {
      all[place].set(wmgp.asFloats(block, dtype), filled[place]);
      filled[place] += block.length;
    }, progress);
    const tops = all.map((values) => values.reduce((top, x) => Math.max(top, Math.abs(x)), 0));
    refuseUnfinite(parameters, tops.map(Number.isFinite));
    checkRange(parameters, tops);
    const tensors = all.map(wmgp.moments);
    const pool = new Float64Array(parameters.reduce((total, p) => total + (p.prunable ? p.n : 0), 0));
    let end = 0;
    for (const [i, values] of all.entries()) {
      if (!parameters[i].prunable) continue;
      pool.set(values.map(Math.abs), end);
      end += values.length;
    }
    return { tensors, bins: null, coarse: wmgp.sortedLevels(pool.sort()) };
  }

  function checkRange(parameters, tops) {
    const top = Math.max(0, ...tops);
    if (top === 0 || (top > SMALLEST && top < LARGEST)) return;
    const said = `expected a largest magnitude between ${SMALLEST} and ${LARGEST}, found ${top.toPrecision(3)}`;
    throw new wmgp.InputError(`${parameters[tops.indexOf(top)].name}: ${said}`);
  }

  // The second pass: the levels with the bins that matter looked into.
  async function refinedLevels(parameters, bins, coarse, ranks, progress) {
    const refined = wmgp.refinable(bins, coarse, ranks);
    if (!refined.length) return coarse;
    const rows = new Int32Array(wmgp.BINS).fill(-1);
    refined.forEach((place, row) => (rows[bins[place].bin] = row));
    const slots = new Float64Array(refined.length * wmgp.SLOTS);
    const tallies = new Uint32Array(2 << 16);
    const work = (_, block, { dtype }) => {
      if (wmgp.isHalf(dtype)) addTallies(block, wmgp.widened(dtype), tallies, rows, slots);
      else addSlots(new Uint32Array(block.buffer, block.byteOffset, block.length), rows, slots);
    };
    await wmgp.eachBlock(parameters.filter((p) => p.prunable), work, progress);
    return wmgp.fineLevels(bins, coarse, refined, slots);
  }

  function addSlots(bits, rows, slots) {
    for (let i = 0; i < bits.length; i++) {
      const magnitude = bits[i] & 0x7fffffff;
      const row = rows[magnitude >>> 12];
      if (row >= 0) slots[(row << 12) | (magnitude & 0xfff)] += 1;
    }
  }

  function addTallies(raw, widened, tallies, rows, slots) {
    wmgp.tally(raw, tallies);
    for (let value = 0; value < 65536; value++) {
      const row = tallies[value] ? rows[(widened[value] & 0x7fffffff) >>> 12] : -1;
      if (row >= 0) slots[row << 12] += tallies[value];
    }
  }

  // The third pass: how many values of each tensor are among the n smallest of the pool, for each n of `ranks`. Equal
  // values go in the order of the tensors.
  async function prunedOfEach(parameters, magnitudes, ranks, progress) {
    const thresholds = ranks.map((rank) => (rank ? magnitudes.threshold(rank) : 0));
    const pool = parameters.filter((p) => p.prunable);
    const found = thresholds.map(() => pool.map(() => [0, 0]));
    await wmgp.eachBlock(pool, (place, block, { dtype }) => {
      thresholds.forEach((threshold, t) => {
        const [below, equal] = wmgp.countBelow(block, dtype, threshold);
        found[t][place][0] += below;
        found[t][place][1] += equal;
      });
    }, progress);
    return ranks.map((rank, t) => {
      let ties = magnitudes.tiesPruned(rank);
      let place = 0;
      return parameters.map((p) => {
        if (!p.prunable) return 0;
        const [below, equal] = found[t][place++];
        const taken = Math.min(Math.max(ties, 0), equal);
        ties -= equal;
        return below + taken;
      });
    });
  }

  Object.assign(wmgp, { measure });
});
