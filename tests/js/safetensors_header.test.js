"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const { wmgp, file, safetensors } = require("./load_modules.js");

const entry = (dtype, shape, begin, end) => ({ dtype, shape, data_offsets: [begin, end] });
const read = (made) => wmgp.readHeader(made, made.name);

test("tensors keep the header's order and have correct offsets", async () => {
  const header = { 10: entry("F32", [2], 4, 12), 2: entry("BF16", [2, 1], 0, 4), __metadata__: { format: "pt" } };
  const text = `{"10":${JSON.stringify(header[10])},"2":${JSON.stringify(header[2])},"__metadata__":{"format":"pt"}}`;
  const tensors = await read(safetensors("a", text, new Uint8Array(12)));
  const start = 8 + text.length;
  assert.deepEqual(tensors.map((t) => [t.name, t.dtype, t.n, t.offset - start, t.nbytes]), [
    ["10", "float32", 2, 4, 8],
    ["2", "bfloat16", 2, 0, 4],
  ]);
});

test("names with special characters are read, and empty tensors take no bytes", async () => {
  const odd = 'a "}{" \\ , [b] \u2028';
  const header = { [odd]: entry("F32", [0, 5], 0, 0), scalar: entry("F16", [], 0, 2) };
  const made = safetensors("a", header, new Uint8Array(2));
  const [first, second] = await read(made);
  assert.deepEqual([first.name, first.n, second.n], [odd, 0, 1]);
});

// The defect, the header, the number of bytes that follow, and the expected message.
const INVALID = [
  ["a gap", { a: entry("F32", [1], 4, 8) }, 8, /overlap or leave gaps/],
  ["an overlap", { a: entry("F32", [2], 0, 8), b: entry("F32", [2], 4, 12) }, 12, /overlap or leave gaps/],
  ["shared bytes", { a: entry("F32", [1], 0, 4), b: entry("F32", [1], 0, 4) }, 4, /overlap or leave gaps/],
  ["negative offsets", { a: entry("F32", [1], -4, 0) }, 4, /data_offsets are not two numbers/],
  ["offsets out of the file", { a: entry("F32", [100], 0, 400) }, 4, /shorter or longer than its header promises/],
  ["bytes too many", { a: entry("F32", [1], 0, 4) }, 9, /shorter or longer/],
  ["offsets that end before they begin", { a: entry("F32", [1], 8, 4) }, 8, /do not agree/],
  ["one offset", { a: { dtype: "F32", shape: [1], data_offsets: [0] } }, 4, /data_offsets/],
  ["offsets beyond whole numbers", { a: entry("U8", [1], 2 ** 53, 2 ** 53 + 1) }, 4, /data_offsets/],
  ["no entry", { a: null }, 4, /dtype undefined is unknown/],
  ["an unknown dtype", { a: entry("Q4_K", [1], 0, 4) }, 4, /dtype "Q4_K" is unknown/],
  ["a dtype that every object has", { a: entry("constructor", [1], 0, 4) }, 4, /dtype "constructor" is unknown/],
  ["a dtype of another width", { a: entry("F64", [1], 0, 4) }, 4, /do not agree/],
  ["a shape of text", { a: entry("F32", ["1"], 0, 4) }, 4, /a size of its shape/],
  ["a negative shape", { a: entry("F32", [-1, -1], 0, 4) }, 4, /a size of its shape/],
  ["a shape that overflows", { a: entry("F32", [2 ** 40, 2 ** 40], 0, 4) }, 4, /its shape overflows/],
  ["a shape that overflows to nothing", { a: entry("F32", [2 ** 32, 2 ** 32], 0, 0) }, 0, /its shape overflows/],
  ["a list", "[1]", 4, /is no object/],
  ["null", "null", 4, /is no object/],
  ["no JSON", "{oops}", 4, /is not JSON/],
  ["metadata of numbers", { __metadata__: { a: 1 } }, 0, /metadata are not text/],
];

for (const [defect, header, bytes, message] of INVALID) {
  test(`${defect}: rejected in one line that names the file`, async () => {
    const made = safetensors("bad.safetensors", header, new Uint8Array(bytes));
    await assert.rejects(read(made), (error) => {
      assert.ok(error instanceof wmgp.InputError);
      assert.match(error.message, message);
      assert.match(error.message, /^bad\.safetensors: not a sound safetensors file: [^\n]+$/);
      return true;
    });
  });
}

test("a duplicate name is rejected", async () => {
  const one = JSON.stringify(entry("F32", [1], 0, 4));
  for (const header of [`{"x":${one},"y":1,"x":${one}}`, `{"x":${one},"\\u0078":${one}}`]) {
    await assert.rejects(read(safetensors("a", header, new Uint8Array(4))), /name "x" occurs twice/);
  }
});

test("text that is not UTF-8 is rejected", async () => {
  await assert.rejects(read(file("a", Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x22, 0xff, 0x7d))), /is not JSON/);
});

test("the header's length: too short a file, beyond its end, absurd", async () => {
  const length = (n) => new BigUint64Array([n]);
  await assert.rejects(read(file("a", "{}")), /ends before its header/);
  await assert.rejects(read(file("a", length(100n), "{}")), /beyond the end of the file/);
  await assert.rejects(read(file("a", length(2n ** 64n - 1n), "{}")), /absurdly large/);
  await assert.rejects(read(file("a", length(100_000_001n), "{}")), /absurdly large/);
});
