// Measure the parameters in up to three passes. The first computes moments and the histogram, the second refines the
// few bins that contain a requested rank, the third counts the pruned values of each tensor. Half precision is read
// once and kept as counts of its patterns. Small checkpoints and float64 are sorted instead.
"use strict";

wmgp.defineModule((wmgp) => {
  const SORTED_BELOW = 100_000; // values
  const SORTABLE = 1 << 25; // maximum number of float64 values that are sorted in memory
  const [SMALLEST, LARGEST] = [1e-70, 1e70]; // range of the largest magnitude in which fourth powers can be summed

  // Return {parameters, tensors (moments), patternCounts, bins (null if the values are sorted), coarse, levels(ranks),
  // pruned(levels, ranks)}.
  async function measure(parameters, progress = () => {}, sortedBelow = SORTED_BELOW) {
    const n = parameters.reduce((total, p) => total + p.n, 0);
    const sorted = n < sortedBelow || parameters.some((p) => p.dtype === "float64");
    const found = sorted ? await sortedPass(parameters, n, progress) : await firstPass(parameters, progress);
    const measurement = withoutNonFinite({ ...found, parameters });
    const levels = async (ranks) => (found.bins ? refinedLevels(measurement, ranks, progress) : found.coarse);
    const pruned = (magnitudes, ranks) => countPrunedPerTensor(measurement, magnitudes, ranks, progress);
    return { ...measurement, levels, pruned };
  }

  // Leave out the tensors outside the pool with NaN or infinity, and reject those in the pool.
  function withoutNonFinite({ finite, ...measurement }) {
    const { parameters, tensors, patternCounts } = measurement;
    const wrong = parameters.filter((_, i) => !finite[i]);
    const inPool = wrong.find((p) => p.prunable);
    if (inPool) throw new wmgp.InputError(`${inPool.name}: expected finite values, found NaN or infinity`);
    const keep = (list) => list.filter((_, i) => finite[i]);
    const kept = { parameters: keep(parameters), tensors: keep(tensors), patternCounts: keep(patternCounts) };
    return { ...measurement, ...kept, notFinite: wrong.map((p) => p.name) };
  }

  async function firstPass(parameters, progress) {
    const histogram = new wmgp.BlockHistogram();
    const tensors = parameters.map(() => wmgp.EMPTY_MOMENTS);
    const finite = parameters.map(() => true);
    const patternCounts = parameters.map(() => []);
    const work = (place, block, { dtype, prunable }) => {
      const found = histogram.count(block, dtype, prunable);
      tensors[place] = wmgp.mergeMoments(tensors[place], found.moments);
      finite[place] &&= found.finite;
      if (found.counted) patternCounts[place].push(found.counted);
    };
    await wmgp.forEachBlock(parameters, work, progress);
    const bins = histogram.histogram();
    return { finite, tensors, patternCounts, bins, coarse: wmgp.coarseLevels(bins) };
  }

  async function sortedPass(parameters, n, progress) {
    if (n > SORTABLE) {
      const limit = SORTABLE.toLocaleString("en-US");
      const { name } = parameters.find((p) => p.dtype === "float64");
      throw new wmgp.InputError(`${name}: float64, of which this page takes ${limit} values; use wmgp analyze`);
    }
    const all = parameters.map((p) => new Float64Array(p.n));
    const filled = parameters.map(() => 0);
    await wmgp.forEachBlock(parameters, (place, block, { dtype }) => {
      all[place].set(wmgp.asFloats(block, dtype), filled[place]);
      filled[place] += block.length;
    }, progress);
    const maxima = all.map((values) => values.reduce((maximum, x) => Math.max(maximum, Math.abs(x)), 0));
    const finite = maxima.map(Number.isFinite);
    checkRange(parameters, maxima.map((maximum, i) => (finite[i] ? maximum : 0)));
    const tensors = all.map(wmgp.moments);
    const pool = new Float64Array(parameters.reduce((total, p) => total + (p.prunable ? p.n : 0), 0));
    let end = 0;
    for (const [i, values] of all.entries()) {
      if (!parameters[i].prunable) continue;
      pool.set(values.map(Math.abs), end);
      end += values.length;
    }
    const coarse = wmgp.sortedLevels(pool.sort());
    return { finite, tensors, patternCounts: parameters.map(() => []), bins: null, coarse };
  }

  function checkRange(parameters, maxima) {
    const maximum = Math.max(0, ...maxima);
    if (maximum === 0 || (maximum > SMALLEST && maximum < LARGEST)) return;
    const reason = `expected a largest magnitude between ${SMALLEST} and ${LARGEST}, found ${maximum.toPrecision(3)}`;
    throw new wmgp.InputError(`${parameters[maxima.indexOf(maximum)].name}: ${reason}`);
  }

  // Of these parameters' indices, those that must be read again, and those with complete pattern counts.
  function splitByCounts(places, { patternCounts }) {
    return {
      toRead: places.filter((i) => !patternCounts[i].length), known: places.filter((i) => patternCounts[i].length),
    };
  }

  // The second pass: levels in which the bins that contain a rank have one level per value.
  async function refinedLevels(measurement, ranks, progress) {
    const { parameters, patternCounts, bins, coarse } = measurement;
    const refined = wmgp.binsToRefine(bins, coarse, ranks);
    if (!refined.length) return coarse;
    const rows = new Int32Array(wmgp.BINS).fill(-1);
    refined.forEach((place, row) => (rows[bins[place].bin] = row));
    const slots = new Float64Array(refined.length * wmgp.SLOTS);
    const pool = [...parameters.keys()].filter((i) => parameters[i].prunable);
    const { toRead, known } = splitByCounts(pool, measurement);
    for (const i of known) {
      for (const counted of patternCounts[i]) addPatternSlots(counted, parameters[i].dtype, rows, slots);
    }
    const work = (_, block) => addSlots(new Uint32Array(block.buffer, block.byteOffset, block.length), rows, slots);
    await wmgp.forEachBlock(toRead.map((i) => parameters[i]), work, progress);
    return wmgp.fineLevels(bins, coarse, refined, slots);
  }

  function addSlots(bits, rows, slots) {
    for (let i = 0; i < bits.length; i++) {
      const magnitude = bits[i] & 0x7fffffff;
      const row = rows[magnitude >>> 12];
      if (row >= 0) slots[(row << 12) | (magnitude & 0xfff)] += 1;
    }
  }

  function addPatternSlots({ patterns, counts }, dtype, rows, slots) {
    const bits = wmgp.float32Bits(dtype);
    for (let i = 0; i < patterns.length; i++) {
      const row = rows[(bits[patterns[i]] & 0x7fffffff) >>> 12];
      if (row >= 0) slots[row << 12] += counts[i];
    }
  }

  // The third pass: {pruned, zeros}. For each n of `ranks`, the number of values of each tensor among the n smallest of
  // the pool (equal values are pruned in the order of the tensors), and the number of zeros of each tensor.
  async function countPrunedPerTensor(measurement, magnitudes, ranks, progress) {
    const { parameters, patternCounts } = measurement;
    const found = ranks.map(() => parameters.map(() => [0, 0])); // below each threshold, and equal to it
    const zeros = parameters.map(() => 0);
    const count = (place, dtype, counted) => {
      zeros[place] += counted(dtype, 0)[1];
      if (!parameters[place].prunable) return;
      for (const [t, rank] of ranks.entries()) {
        const [below, equal] = counted(dtype, rank ? magnitudes.threshold(rank) : 0);
        found[t][place][0] += below;
        found[t][place][1] += equal;
      }
    };
    const { toRead, known } = splitByCounts([...parameters.keys()], measurement);
    for (const i of known) {
      for (const counted of patternCounts[i]) {
        count(i, parameters[i].dtype, (...at) => wmgp.countPatternsBelow(counted, ...at));
      }
    }
    const again = toRead.map((i) => parameters[i]);
    const work = (place, block, { dtype }) => count(toRead[place], dtype, (...at) => wmgp.countBelow(block, ...at));
    await wmgp.forEachBlock(again, work, progress);
    return { pruned: ranks.map((rank, t) => addTies(found[t], magnitudes.tiesPruned(rank))), zeros };
  }

  function addTies(found, ties) {
    return found.map(([below, equal]) => {
      const taken = Math.min(Math.max(ties, 0), equal);
      ties -= equal;
      return below + taken;
    });
  }

  Object.assign(wmgp, { measure });
});
