"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const { wmgp, file, checkpoint, safetensors } = require("./load_modules.js");

const values = (...x) => Float32Array.from(x);
const index = (table) => file("model.safetensors.index.json", JSON.stringify({ metadata: {}, weight_map: table }));
const names = async (...files) => (await wmgp.openCheckpoint(files)).tensors.map((t) => t.name);

test("shards are one checkpoint, in the order of their names, or of their index", async () => {
  const one = checkpoint("b-1.safetensors", { x: values(1) });
  const two = checkpoint("b-2.safetensors", { a: values(2), y: values(3) });
  assert.deepEqual(await names(two, one), ["x", "a", "y"]);
  const table = { a: "b-2.safetensors", x: "b-1.safetensors" };
  assert.deepEqual(await names(two, index(table), one), ["a", "x"]);
  assert.equal((await wmgp.openCheckpoint([one])).label, "b-1.safetensors");
});

test("shards that do not fit together are rejected", async () => {
  const one = checkpoint("1.safetensors", { x: values(1) });
  await assert.rejects(names(one, checkpoint("2.safetensors", { x: values(1) })), /'x' is in both 1.safetensors and 2/);
  await assert.rejects(names(one, index({ x: "1.safetensors", y: "2.safetensors" })), /'2.safetensors' is missing/);
  await assert.rejects(names(one, index({ y: "1.safetensors" })), /places the tensor 'y' in '1.safetensors'/);
  await assert.rejects(names(one, one), /two files of this name/);
  await assert.rejects(names(index({ x: "1" }), Object.assign(index({ x: "1" }), { name: "z" })), /several indices/);
});

// Contents that are often mistaken for a checkpoint, and the expected message.
const MISTAKEN = [
  ["", /the file is empty/],
  ["<!DOCTYPE html>", /HTML or XML page/],
  ["version https://git-lfs.github.com/spec/v1", /Git LFS pointer/],
  ["PK\x03\x04rest", /torch.save/],
  [Uint8Array.of(0x80, 2, 0x8a), /pickle/],
  ["GGUF\x03\0\0\0", /GGUF/],
  ['{"a": 1}', /JSON without a weight_map/],
  ["hello, I am no checkpoint", /it begins with "hello, I"/],
];

for (const [contents, message] of MISTAKEN) {
  test(`rejected: ${message.source}`, async () => {
    await assert.rejects(names(file("mine.bin", contents)), (error) => {
      assert.match(error.message, message);
      return error instanceof wmgp.InputError && /^mine\.bin: [^\n]+$/.test(error.message);
    });
  });
}

test("buffers are left out, NAME_orig with NAME_mask is one masked NAME, pools are the package's", async () => {
  const entries = {
    "a.weight_orig": [2, 2], "a.weight_mask": [2, 2], "b.bias": [4], "bn.running_mean": [4],
    "h.attn.bias": [1, 1, 2, 2], "q.in_proj_weight": [2, 2], token: [4],
  };
  const header = {};
  Object.entries(entries).forEach(([name, shape], i) => {
    header[name] = { dtype: "F32", shape, data_offsets: [16 * i, 16 * i + 16] };
  });
  const opened = await wmgp.openCheckpoint([safetensors("a", header, new Uint8Array(16 * 7))]);
  const pools = {};
  for (const pool of wmgp.POOLS) {
    pools[pool] = (await wmgp.collect(opened, pool)).parameters.filter((p) => p.prunable).map((p) => p.name);
  }
  const every = ["a.weight", "b.bias", "q.in_proj_weight", "token"];
  assert.deepEqual(pools, { weight_bias: every.slice(0, 2), weights: ["a.weight", "q.in_proj_weight"], all: every });
  await assert.rejects(wmgp.collect(opened, "some"), /pool 'some': expected one of weight_bias, weights, all/);
});

test("the message names a tensor that cannot be analysed", async () => {
  const of = (dtype) => ({ label: "a", tensors: [{ name: "w", dtype, shape: [1], n: 1 }] });
  await assert.rejects(wmgp.collect({ label: "a", tensors: [] }, "all"), /a: no floating-point parameters/);
  const [float8, ints] = [of("float8_e4m3fn"), of("int32")];
  await assert.rejects(wmgp.collect(float8, "all"), /w: float8_e4m3fn cannot be analysed/);
  await assert.rejects(wmgp.collect(ints, "all"), /no floating-point parameters/);
});

test("packed weights are rejected; integer indices, masks and counters are accepted", async () => {
  const opened = (name, dtype, shape, n) => names(safetensors("a", {
    [name]: { dtype, shape, data_offsets: [0, n] }, b: { dtype: "F32", shape: [1], data_offsets: [n, n + 4] },
  }, new Uint8Array(n + 4)));
  await assert.rejects(opened("q.w", "F8_E4M3", [2, 2], 4), /a: the tensor 'q.w' is float8_e4m3fn, .*bfloat16/);
  await assert.rejects(opened("q.qweight", "I32", [1, 2], 8), /'q.qweight' holds weights packed in int32 \(GPTQ or/);
  for (const [name, shape] of [["weight_mask", [1, 2]], ["weight", [2]], ["position_ids", [1, 2]]]) {
    assert.deepEqual(await opened(name, "I32", shape, 8), [name, "b"]);
  }
});
