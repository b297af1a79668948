// A few passes over the parameters -> moments, levels and counts. The first takes the moments and the histogram; the
// second looks again only at the few bins that hold a boundary asked for; the third counts what a threshold prunes of
// each tensor. Half precision is read once and known from its tallies. Small sources, and float64 ones, are sorted.
"use strict";

wmgp.room((wmgp) => {
  const SORTED_BELOW = 100_000; // values
  const SORTABLE = 1 << 25; // float64 values: so many can be held and sorted
  const [SMALLEST, LARGEST] = [1e-70, 1e70]; // the range of a largest magnitude whose fourth powers can be summed

  // {parameters, tensors (moments), tallies, bins (null: the values are sorted), coarse, levels(ranks), pruned(levels,
  // ranks)}.
  async function measure(parameters, progress = () => {}, sortedBelow = SORTED_BELOW) {
    const n = parameters.reduce((total, p) => total + p.n, 0);
    const sorted = n < sortedBelow || parameters.some((p) => p.dtype === "float64");
    const found = sorted ? await sortedPass(parameters, n, progress) : await firstPass(parameters, progress);
    const measurement = { ...found, parameters };
    const levels = async (ranks) => (found.bins ? refinedLevels(measurement, ranks, progress) : found.coarse);
    const pruned = (magnitudes, ranks) => prunedOfEach(measurement, magnitudes, ranks, progress);
    return { ...measurement, levels, pruned };
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
    const tallies = parameters.map(() => []);
    const work = (place, block, { dtype, prunable }) => {
      const found = counter.count(block, dtype, prunable);
      tensors[place] = wmgp.merged(tensors[place], found.moments);
      finite[place] &&= found.finite;
      if (found.tally) tallies[place].push(found.tally);
    };
    await wmgp.eachBlock(parameters, work, progress);
    refuseUnfinite(parameters, finite);
    const bins = counter.histogram();
    return { tensors, tallies, bins, coarse: wmgp.coarseLevels(bins) };
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
    return { tensors, tallies: parameters.map(() => []), bins: null, coarse: wmgp.sortedLevels(pool.sort()) };
  }

  function checkRange(parameters, tops) {
    const top = Math.max(0, ...tops);
    if (top === 0 || (top > SMALLEST && top < LARGEST)) return;
    const said = `expected a largest magnitude between ${SMALLEST} and ${LARGEST}, found ${top.toPrecision(3)}`;
    throw new wmgp.InputError(`${parameters[tops.indexOf(top)].name}: ${said}`);
  }

  // The pool's places that must be read again, and those whose tallies say all.
  function places({ parameters, tallies }) {
    const pool = [...parameters.keys()].filter((i) => parameters[i].prunable);
    return { unread: pool.filter((i) => !tallies[i].length), tallied: pool.filter((i) => tallies[i].length) };
  }

  // The second pass: the levels with the bins that matter looked into.
  async function refinedLevels(measurement, ranks, progress) {
    const { parameters, tallies, bins, coarse } = measurement;
    const refined = wmgp.refinable(bins, coarse, ranks);
    if (!refined.length) return coarse;
    const rows = new Int32Array(wmgp.BINS).fill(-1);
    refined.forEach((place, row) => (rows[bins[place].bin] = row));
    const slots = new Float64Array(refined.length * wmgp.SLOTS);
    const { unread, tallied } = places(measurement);
    for (const i of tallied) for (const tally of tallies[i]) addTally(tally, parameters[i].dtype, rows, slots);
    const work = (_, block) => addSlots(new Uint32Array(block.buffer, block.byteOffset, block.length), rows, slots);
    await wmgp.eachBlock(unread.map((i) => parameters[i]), work, progress);
    return wmgp.fineLevels(bins, coarse, refined, slots);
  }

  function addSlots(bits, rows, slots) {
    for (let i = 0; i < bits.length; i++) {
      const magnitude = bits[i] & 0x7fffffff;
      const row = rows[magnitude >>> 12];
      if (row >= 0) slots[(row << 12) | (magnitude & 0xfff)] += 1;
    }
  }

  function addTally({ raws, counts }, dtype, rows, slots) {
    const bits = wmgp.widened(dtype);
    for (let i = 0; i < raws.length; i++) {
      const row = rows[(bits[raws[i]] & 0x7fffffff) >>> 12];
      if (row >= 0) slots[row << 12] += counts[i];
    }
  }

  // The third pass: how many values of each tensor are among the n smallest of the pool, for each n of `ranks`. Equal
  // values go in the order of the tensors.
  async function prunedOfEach(measurement, magnitudes, ranks, progress) {
    const { parameters, tallies } = measurement;
    const found = ranks.map(() => parameters.map(() => [0, 0])); // below each threshold, and equal to it
    const count = (place, dtype, counted) => {
      for (const [t, rank] of ranks.entries()) {
        const [below, equal] = counted(dtype, rank ? magnitudes.threshold(rank) : 0);
        found[t][place][0] += below;
        found[t][place][1] += equal;
      }
    };
    const { unread, tallied } = places(measurement);
    for (const i of tallied) {
      for (const tally of tallies[i]) count(i, parameters[i].dtype, (...at) => wmgp.countTally(tally, ...at));
    }
    const again = unread.map((i) => parameters[i]);
    const work = (place, block, { dtype }) => count(unread[place], dtype, (...at) => wmgp.countBelow(block, ...at));
    await wmgp.eachBlock(again, work, progress);
    return ranks.map((rank, t) => withTies(found[t], magnitudes.tiesPruned(rank)));
  }

  function withTies(found, ties) {
    return found.map(([below, equal]) => {
      const taken = Math.min(Math.max(ties, 0), equal);
      ties -= equal;
      return below + taken;
    });
  }

  Object.assign(wmgp, { measure });
});
