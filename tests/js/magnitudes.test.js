"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const { wmgp, checkpoint, numbers } = require("./load_modules.js");

const near = (a, b, relative = 1e-12) => assert.ok(Math.abs(a - b) <= relative * Math.abs(b) + 1e-300, `${a} ${b}`);
const levelsOf = (...values) => wmgp.sortedLevels(Float64Array.from(values));

async function measured(tensors, sortedBelow, half) {
  const { parameters } = await wmgp.collect(await wmgp.openCheckpoint([checkpoint("a", tensors, half)]), "all");
  return wmgp.measure(parameters, () => {}, sortedBelow);
}

test("levels worked out by hand", () => {
  const levels = levelsOf(1, 2, 2, 3);
  assert.deepEqual([0, 1, 2, 4].map((n) => levels.keptEnergy(n)), [18, 17, 13, 0]);
  assert.deepEqual([1, 2, 4].map((n) => levels.threshold(n)), [1, 2, 3]);
  assert.ok(Number.isNaN(levels.threshold(0)));
  assert.deepEqual([18, 17.5, 17, 9, 8.9, 0].map((kept) => levels.mostPruned(kept)), [0, 0, 1, 3, 3, 4]);
  assert.deepEqual([0, 1, 2, 3].map((n) => levels.tiesPruned(n)), [0, 1, 1, 2]);
});

test("the histogram knows the value of a bin of equal values, and the energy of every bin", async () => {
  const x = Math.fround(0.1);
  const { bins, coarse } = await measured({ w: new Float32Array(5).fill(-x) }, 0);
  assert.equal(bins.length, 1);
  assert.deepEqual([coarse.smallest[0], coarse.largest[0], coarse.n], [x, x, 5]);
  near(coarse.above[0], 5 * x ** 2);
  const two = Float32Array.of(1, 1 + 2 ** -23 * 7); // neighbours in one bin
  const found = (await measured({ w: two }, 0)).coarse;
  assert.deepEqual([found.count.length, found.smallest[0]], [1, 1]);
  near(found.above[0], two[0] ** 2 + two[1] ** 2);
});

test("at the requested ranks, the histogram gives the same results as sorting", async () => {
  const draw = (n, seed) => Float32Array.from(numbers(n, seed), (x, i) => (i % 3 ? 1 : -1) * Math.tan(1.5 * x) ** 2);
  const tensors = { a: draw(4000, 3), b: draw(2000, 5), c: new Float32Array(500).fill(0.25), d: new Float32Array(9) };
  const [sorted, counted] = [await measured(tensors, Infinity), await measured(tensors, 0)];
  const ranks = wmgp.amountGrid(101).map((amount) => wmgp.nToPrune(amount, sorted.coarse.n));
  const levels = await counted.levels(ranks);
  for (const rank of ranks) {
    near(levels.keptEnergy(rank) + 1, sorted.coarse.keptEnergy(rank) + 1);
    assert.equal(levels.tiesPruned(rank), sorted.coarse.tiesPruned(rank));
    assert.deepEqual(levels.threshold(rank), sorted.coarse.threshold(rank));
  }
  const some = [ranks[3], ranks[50], ranks[93]];
  assert.deepEqual(await counted.pruned(levels, some), await sorted.pruned(sorted.coarse, some));
  for (const [i, row] of (await counted.pruned(levels, some)).pruned.entries()) {
    assert.equal(row.reduce((a, b) => a + b), some[i]);
  }
});

for (const half of ["F16", "BF16"]) {
  test(`${half}: one pass is exact, also together with float32`, async () => {
    const raw = Uint16Array.from(numbers(20_000), (x) => Math.floor(x * 0x7000) | (x < 0.5 ? 0x8000 : 0));
    const floats = Float32Array.from(numbers(3000), (x) => x / 10);
    for (const tensors of [{ a: raw, small: raw.slice(0, 50) }, { a: raw, b: floats }]) {
      const [sorted, counted] = [await measured(tensors, Infinity, half), await measured(tensors, 0, half)];
      const ranks = [0, 1, 777, 10_000, 15_001, sorted.coarse.n];
      const levels = await counted.levels(ranks);
      for (const rank of ranks) near(levels.keptEnergy(rank) + 1e-9, sorted.coarse.keptEnergy(rank) + 1e-9, 1e-9);
      assert.deepEqual(await counted.pruned(levels, ranks), await sorted.pruned(sorted.coarse, ranks));
      counted.tensors.forEach((m, i) => near(wmgp.kurtosis(m), wmgp.kurtosis(sorted.tensors[i]), 1e-9));
    }
  });
}

test("equal values are pruned in the order of the tensors", async () => {
  const same = (n) => new Float32Array(n).fill(2);
  for (const sortedBelow of [0, Infinity]) {
    const found = await measured({ a: same(3), b: same(4), c: same(2) }, sortedBelow);
    const levels = await found.levels([5]);
    assert.deepEqual((await found.pruned(levels, [5])).pruned, [[3, 2, 0]]);
  }
});

test("masked weights are zeros, and non-finite tensors are named", async () => {
  const tensors = { "w_orig": Float32Array.of(1, 2, 3), "w_mask": Float32Array.of(1, 0, 1) };
  for (const sortedBelow of [0, Infinity]) {
    assert.deepEqual((await (await measured(tensors, sortedBelow)).levels([1])).keptEnergy(1), 10);
    for (const bad of [NaN, Infinity]) {
      const made = { fine: Float32Array.of(1, 2), "x.bias": Float32Array.of(1, bad) };
      await assert.rejects(measured(made, sortedBelow), /x\.bias: expected finite values, found NaN or infinity$/);
    }
    await assert.rejects(measured({ h: Uint16Array.of(0x7fc0) }, sortedBelow), /h: expected finite values/);
  }
  await assert.rejects(measured({ d: Float64Array.of(1e100) }, 0), /d: expected a largest magnitude between/);
});

test("windows cover every value once, unaligned values too", async () => {
  const p = { n: 1000, nbytes: 4000, offset: 13, file: "a", blob: null };
  const found = wmgp.windows([p, { ...p, n: 3, nbytes: 6, offset: 4013 }, { ...p, n: 0, nbytes: 0 }], 256);
  assert.ok(found.every((w) => w.stop - w.start <= 256 + 8));
  const places = found.flatMap((w) => w.pieces).filter((piece) => piece.place === 0);
  const read = places.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
  assert.deepEqual(read, [...Array(1000).keys()]);
  const values = Float32Array.from(numbers(999));
  const blob = new Blob([new Uint8Array(3), values]);
  const parameter = { name: "w", n: 999, nbytes: 3996, offset: 3, file: "a", blob, dtype: "float32" };
  const blocks = [];
  await wmgp.forEachBlock([parameter], (_, block) => blocks.push(...block), () => {}, 128);
  assert.deepEqual(blocks, [...values]);
});

test("the message names a file that cannot be read", async () => {
  const blob = { slice: () => ({ arrayBuffer: () => Promise.reject(new Error("gone")) }) };
  const parameter = { name: "w", n: 1, nbytes: 4, offset: 0, file: "mine", blob, dtype: "float32" };
  await assert.rejects(wmgp.forEachBlock([parameter], () => {}), /mine: cannot be read; has it changed or gone/);
});
