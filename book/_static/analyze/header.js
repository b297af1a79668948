// The header of a safetensors file -> where each tensor lies; whatever is unsound is refused before a value is read.
"use strict";

wmgp.room((wmgp) => {
  const LARGEST = 100_000_000; // bytes of a header, as the safetensors library has it
  const WHOLE = "a whole number that is not negative";

  function refuse(file, reason) {
    throw new wmgp.InputError(`${file}: not a sound safetensors file: ${reason}`);
  }

  // The tensors of a file (a File or Blob) in its header's order: {name, dtype, shape, n, blob, file, offset, nbytes}.
  async function readHeader(blob, file) {
    const start = 8 + (await headerLength(blob, file));
    const { header, names } = parsed(await blob.slice(8, start).arrayBuffer(), file);
    const tensors = names.filter((name) => name !== "__metadata__").map((name) => {
      const { dtype, shape, begin, end, n } = checkedEntry(name, header[name], file);
      return { name, dtype, shape, n, blob, file, offset: start + begin, nbytes: end - begin };
    });
    checkCover(tensors, start, blob.size, file);
    return tensors;
  }

  async function headerLength(blob, file) {
    if (blob.size < 8) refuse(file, "the file ends before its header");
    const length = new DataView(await blob.slice(0, 8).arrayBuffer()).getBigUint64(0, true);
    if (length > BigInt(LARGEST)) refuse(file, "the header's length is absurdly large");
    if (8n + length > BigInt(blob.size)) {
      refuse(file, "the header's length points beyond the end of the file; it may be truncated");
    }
    return Number(length);
  }

  function parsed(bytes, file) {
    let text, header;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      header = JSON.parse(text);
    } catch {
      refuse(file, "its header is not JSON");
    }
    if (header === null || typeof header !== "object" || Array.isArray(header)) refuse(file, "its header is no object");
    const names = topNames(text);
    const twice = firstTwice(names);
    if (twice !== undefined) refuse(file, `the name ${JSON.stringify(twice)} occurs twice`);
    const said = header.__metadata__ ?? {};
    if (typeof said !== "object" || Object.values(said).some((value) => typeof value !== "string")) {
      refuse(file, "its metadata are not text");
    }
    return { header, names };
  }

  // The names of an object in the text's own order, repeated ones too: JSON.parse sorts "10" to the front, and forgets.
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

  function firstTwice(names) {
    const seen = new Set();
    return names.find((name) => seen.has(name) || !seen.add(name));
  }

  const isCount = (x) => Number.isSafeInteger(x) && x >= 0;

  function checkedEntry(name, entry, file) {
    const { dtype, shape, data_offsets: offsets } = entry ?? {};
    const where = JSON.stringify(name);
    if (!Object.hasOwn(wmgp.WIDTHS, String(dtype))) {
      refuse(file, `${where}: the dtype ${JSON.stringify(dtype)} is unknown`);
    }
    if (!Array.isArray(shape) || !shape.every(isCount)) refuse(file, `${where}: a size of its shape is not ${WHOLE}`);
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
      refuse(file, `${where}: its data_offsets are not two numbers, each ${WHOLE}`);
    }
    const n = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
    const bits = n * wmgp.WIDTHS[dtype];
    if (!Number.isSafeInteger(bits)) refuse(file, `${where}: its shape overflows`);
    const [begin, end] = offsets;
    if (bits % 8 || end - begin !== bits / 8) refuse(file, `${where}: its shape, dtype and data_offsets do not agree`);
    return { dtype: wmgp.NAMES[dtype] ?? dtype, shape, begin, end, n };
  }

  // The tensors must fill the file from the header on, without a gap and without sharing a byte.
  function checkCover(tensors, start, size, file) {
    let end = start;
    for (const t of [...tensors].sort((a, b) => a.offset - b.offset || a.nbytes - b.nbytes)) {
      if (t.offset !== end) refuse(file, "the tensors' offsets overlap or leave gaps");
      end += t.nbytes;
    }
    if (end !== size) refuse(file, "the file is shorter or longer than its header promises; it may be truncated");
  }

  Object.assign(wmgp, { readHeader, topNames });
});
