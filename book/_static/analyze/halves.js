// Half precision: of 16 bits there are 65,536 values, so a block is read once, into how often each of them occurs.
"use strict";

wmgp.room((wmgp) => {
  const FEW = 1 << 14; // fewer values are sorted; more are counted in a table of all that there can be
  const table = new Uint32Array(2 << 16);

  // The values that occur in a block, by their 16 bits, and how often each does: {raws, counts}.
  function tally(block) {
    return block.length < FEW ? sortedTally(block) : countedTally(block);
  }

  function sortedTally(block) {
    const sorted = block.slice().sort();
    const starts = [];
    for (let i = 0; i < sorted.length; i++) if (i === 0 || sorted[i] !== sorted[i - 1]) starts.push(i);
    const raws = Uint16Array.from(starts, (i) => sorted[i]);
    return { raws, counts: Uint32Array.from(starts, (i, j) => (starts[j + 1] ?? sorted.length) - i) };
  }

  function countedTally(block) {
    table.fill(0);
    addTo(table, block);
    let used = 0;
    for (let raw = 0; raw < 65536; raw++) used += (table[raw] += table[65536 + raw]) > 0 ? 1 : 0;
    const [raws, counts] = [new Uint16Array(used), new Uint32Array(used)];
    for (let raw = 0, i = 0; raw < 65536; raw++) {
      if (!table[raw]) continue;
      raws[i] = raw;
      counts[i++] = table[raw];
    }
    return { raws, counts };
  }

  // Neighbours go into two tables: equal ones then need not wait for each other.
  function addTo(table, block) {
    const even = block.length & ~1;
    for (let i = 0; i < even; i += 2) {
      table[block[i]]++;
      table[65536 + block[i + 1]]++;
    }
    if (even < block.length) table[block[even]]++;
  }

  // The moments of a tally; NaN and infinity must not occur in it.
  function momentsOfTally({ raws, counts }, dtype) {
    const values = wmgp.asFloats(raws, dtype);
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
    return wmgp.fromPowers(n, centre, s1, s2, s3, s4);
  }

  Object.assign(wmgp, { tally, momentsOfTally });
});
