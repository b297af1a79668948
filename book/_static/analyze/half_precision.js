// Half precision: 16 bits have 65,536 patterns, so a block is read once and reduced to the count of each pattern.
"use strict";

wmgp.defineModule((wmgp) => {
  const SORT_BELOW = 1 << 14; // fewer values are sorted; more are counted in a table of all patterns
  const table = new Uint32Array(2 << 16);

  // Count the 16-bit patterns of a block: {patterns, counts} of the patterns that occur, ascending.
  function countPatterns(block) {
    return block.length < SORT_BELOW ? countBySorting(block) : countByTable(block);
  }

  function countBySorting(block) {
    const sorted = block.slice().sort();
    const starts = [];
    for (let i = 0; i < sorted.length; i++) if (i === 0 || sorted[i] !== sorted[i - 1]) starts.push(i);
    const patterns = Uint16Array.from(starts, (i) => sorted[i]);
    return { patterns, counts: Uint32Array.from(starts, (i, j) => (starts[j + 1] ?? sorted.length) - i) };
  }

  function countByTable(block) {
    table.fill(0);
    addTo(table, block);
    let nUsed = 0;
    for (let pattern = 0; pattern < 65536; pattern++) nUsed += (table[pattern] += table[65536 + pattern]) > 0 ? 1 : 0;
    const [patterns, counts] = [new Uint16Array(nUsed), new Uint32Array(nUsed)];
    for (let pattern = 0, i = 0; pattern < 65536; pattern++) {
      if (!table[pattern]) continue;
      patterns[i] = pattern;
      counts[i++] = table[pattern];
    }
    return { patterns, counts };
  }

  // Neighbours go into two tables, so that equal neighbours do not wait for each other's increment.
  function addTo(table, block) {
    const even = block.length & ~1;
    for (let i = 0; i < even; i += 2) {
      table[block[i]]++;
      table[65536 + block[i + 1]]++;
    }
    if (even < block.length) table[block[even]]++;
  }

  // The moments of counted patterns, without NaN or infinity.
  function momentsOfPatterns({ patterns, counts }, dtype) {
    const values = wmgp.asFloats(patterns, dtype);
    let [n, total, s1, s2, s3, s4] = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < values.length; i++) {
      n += counts[i];
      total += counts[i] * values[i];
    }
    const centre = total / n;
    for (let i = 0; i < values.length; i++) {
      const d = values[i] - centre;
      const square = d * d;
      s1 += counts[i] * d;
      s2 += counts[i] * square;
      s3 += counts[i] * square * d;
      s4 += counts[i] * square * square;
    }
    return wmgp.momentsFromPowers(n, centre, s1, s2, s3, s4);
  }

  Object.assign(wmgp, { countPatterns, momentsOfPatterns });
});
