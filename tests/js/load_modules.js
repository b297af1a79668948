// Loads the page's modules in the page's order, and has helpers that create checkpoints in memory.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const FOLDER = path.join(__dirname, "../../book/_static/analyze");
const page = fs.readFileSync(path.join(FOLDER, "page.html"), "utf8");
const names = [...page.matchAll(/<script defer src="[^"]*\/analyze\/([\w.]+)">/g)].map(([, name]) => name);
// plotting.js and the scripts after it need a DOM.
for (const name of names.slice(0, names.indexOf("plotting.js"))) require(path.join(FOLDER, name));

// A file of this name with these contents.
function file(name, ...parts) {
  return Object.assign(new Blob(parts), { name });
}

// A safetensors file with this header (object or text), followed by these bytes.
function safetensors(name, header, data = new Uint8Array(0)) {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(text.length), true);
  return file(name, length, text, data);
}

// A safetensors file of named typed arrays: Float32Array as F32, Float64Array as F64, Uint16Array as `half`.
function checkpoint(name, tensors, half = "BF16") {
  const header = {};
  let end = 0;
  for (const [key, values] of Object.entries(tensors)) {
    const dtype = values instanceof Float64Array ? "F64" : values instanceof Uint16Array ? half : "F32";
    header[key] = { dtype, shape: [values.length], data_offsets: [end, (end += values.byteLength)] };
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8);
  return safetensors(name, text, new Blob(Object.values(tensors)));
}

// Pseudo-random numbers in [0, 1).
function numbers(n, seed = 1) {
  let state = seed;
  return Array.from({ length: n }, () => (state = (state * 48271) % 2147483647) / 2147483647);
}

module.exports = { wmgp: globalThis.wmgp, file, safetensors, checkpoint, numbers };
