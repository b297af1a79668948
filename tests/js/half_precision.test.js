"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const { wmgp, numbers } = require("./load_modules.js");

const one = (dtype, raw) => wmgp.asFloats(Uint16Array.of(raw), dtype)[0];

test("float16 is widened exactly, subnormals and infinities too", () => {
  const known = [
    [0x0000, 0], [0x0001, 2 ** -24], [0x0003, 3 * 2 ** -24], [0x03ff, 1023 * 2 ** -24], [0x0400, 2 ** -14], [0x3c00, 1],
    [0x3555, 0.333251953125], [0x7bff, 65504], [0x7c00, Infinity], [0xfc00, -Infinity], [0xbc00, -1],
  ];
  for (const [raw, value] of known) assert.equal(one("float16", raw), value);
  assert.ok(Object.is(one("float16", 0x8000), -0) && Number.isNaN(one("float16", 0x7e00)));
});

test("bfloat16 is the upper half of a float32", () => {
  const known = [[0x3f80, 1], [0xc040, -3], [0x0001, 2 ** -133], [0x7f7f, 255 * 2 ** 120], [0x7f80, Infinity]];
  for (const [raw, value] of known) assert.equal(one("bfloat16", raw), value);
});

test("every half precision value keeps its lower 12 bits at zero: a bin holds one value", () => {
  for (const dtype of ["float16", "bfloat16"]) assert.ok(wmgp.float32Bits(dtype).every((bits) => (bits & 0xfff) === 0));
});

test("sorting and counting give the same pattern counts", () => {
  const few = Uint16Array.from([5, 3, 5, 0x8003, 5]);
  const { patterns, counts } = wmgp.countPatterns(few);
  assert.deepEqual([[...patterns], [...counts]], [[3, 5, 0x8003], [1, 3, 1]]);
  const many = Uint16Array.from(numbers(20_001), (x) => Math.floor(40 * x) * 1000);
  const found = wmgp.countPatterns(many);
  for (const [i, raw] of found.patterns.entries()) assert.equal(found.counts[i], many.filter((x) => x === raw).length);
  assert.equal(found.counts.reduce((a, b) => a + b), many.length);
});

test("the moments of pattern counts equal the moments of the values", () => {
  const block = Uint16Array.from([0x3f80, 0x3f80, 0x4000, 0xbf80]); // 1, 1, 2, -1
  const { n, mean, m2, m4 } = wmgp.momentsOfPatterns(wmgp.countPatterns(block), "bfloat16");
  assert.deepEqual([n, mean, m2], [4, 0.75, 4.75]);
  assert.ok(Math.abs(m4 - (2 * 0.25 ** 4 + 1.25 ** 4 + 1.75 ** 4)) < 1e-12);
  assert.equal(wmgp.momentsOfPatterns(wmgp.countPatterns(new Uint16Array(30_000).fill(0x3dcd)), "bfloat16").m2, 0);
});
