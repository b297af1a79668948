// Read the header of a safetensors file; an invalid header is rejected before any value is read.
"use strict";

wmgp.defineModule((wmgp) => {
  const MAX_HEADER = 100_000_000; // bytes, the limit of the safetensors library
  const NON_NEGATIVE = "a whole number that is not negative";

  function reject(file, reason) {
    throw new wmgp.InputError(`${file}: not a sound safetensors file: ${reason}`);
  }

  // The tensors of a file (a File or Blob) in its header's order: {name, dtype, shape, n, blob, file, offset, nbytes}.
  async function readHeader(blob, file) {
    const start = 8 + (await headerLength(blob, file));
    const { header, names } = parseHeader(await blob.slice(8, start).arrayBuffer(), file);
    const tensors = names.filter((name) => name !== "__metadata__").map((name) => {
      const { dtype, shape, begin, end, n } = checkEntry(name, header[name], file);
      return { name, dtype, shape, n, blob, file, offset: start + begin, nbytes: end - begin };
    });
    checkCover(tensors, start, blob.size, file);
    return tensors;
  }

  async function headerLength(blob, file) {
    if (blob.size < 8) reject(file, "the file ends before its header");
    const length = new DataView(await blob.slice(0, 8).arrayBuffer()).getBigUint64(0, true);
    if (length > BigInt(MAX_HEADER)) reject(file, "the header's length is absurdly large");
    if (8n + length > BigInt(blob.size)) {
      reject(file, "the header's length points beyond the end of the file; it may be truncated");
    }
    return Number(length);
  }

  function parseHeader(bytes, file) {
    let text, header;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      header = JSON.parse(text);
    } catch {
      reject(file, "its header is not JSON");
    }
    if (header === null || typeof header !== "object" || Array.isArray(header)) reject(file, "its header is no object");
    const names = topNames(text);
    const duplicate = firstDuplicate(names);
    if (duplicate !== undefined) reject(file, `the name ${JSON.stringify(duplicate)} occurs twice`);
    const metadata = header.__metadata__ ?? {};
    if (typeof metadata !== "object" || Object.values(metadata).some((value) => typeof value !== "string")) {
      reject(file, "its metadata are not text");
    }
    return { header, names };
  }

  // The keys of a JSON object in their order, duplicates included: JSON.parse reorders integer keys and drops
  // duplicates.
  function topNames(text) {
    const names = [];
    let depth = 0;
    let atName = true;
    for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],]/g)) {
      if (token === "{" || token === "[") depth++;
      else if (token === "}" || token === "]") depth--;
      else if (token === ",") atName = depth === 1;
      else if (depth === 1 && atName) {
        names.push(JSON.parse(token));
        atName = false;
      }
    }
    return names;
  }

  function firstDuplicate(names) {
    const seen = new Set();
    return names.find((name) => seen.has(name) || !seen.add(name));
  }

  const isCount = (x) => Number.isSafeInteger(x) && x >= 0;

  function checkEntry(name, entry, file) {
    const { dtype, shape, data_offsets: offsets } = entry ?? {};
    const where = JSON.stringify(name);
    if (!Object.hasOwn(wmgp.WIDTHS, String(dtype))) {
      reject(file, `${where}: the dtype ${JSON.stringify(dtype)} is unknown`);
    }
    if (!Array.isArray(shape) || !shape.every(isCount)) {
      reject(file, `${where}: a size of its shape is not ${NON_NEGATIVE}`);
    }
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
      reject(file, `${where}: its data_offsets are not two numbers, each ${NON_NEGATIVE}`);
    }
    const n = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
    const bits = n * wmgp.WIDTHS[dtype];
    if (!Number.isSafeInteger(bits)) reject(file, `${where}: its shape overflows`);
    const [begin, end] = offsets;
    if (bits % 8 || end - begin !== bits / 8) reject(file, `${where}: its shape, dtype and data_offsets do not agree`);
    return { dtype: wmgp.NAMES[dtype] ?? dtype, shape, begin, end, n };
  }

  // The tensors must fill the file after the header, without gaps and overlaps.
  function checkCover(tensors, start, size, file) {
    let end = start;
    for (const t of [...tensors].sort((a, b) => a.offset - b.offset || a.nbytes - b.nbytes)) {
      if (t.offset !== end) reject(file, "the tensors' offsets overlap or leave gaps");
      end += t.nbytes;
    }
    if (end !== size) reject(file, "the file is shorter or longer than its header promises; it may be truncated");
  }

  Object.assign(wmgp, { readHeader, topNames });
});
