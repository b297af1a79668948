// Files read a window at a time, the next one while this one is worked on: a file of any size needs two windows.
"use strict";

wmgp.room((wmgp) => {
  const WINDOW = 1 << 24; // bytes

  // The windows that hold parameters: {blob, file, start, stop, pieces: [{place, first, count, offset}]}; a value
  // belongs to the window that its first byte lies in.
  function windows(parameters, size = WINDOW) {
    const found = new Map();
    for (const [place, p] of parameters.entries()) {
      if (p.n === 0) continue;
      const width = p.nbytes / p.n;
      for (let first = 0; first < p.n; ) {
        const number = Math.floor((p.offset + first * width) / size);
        const next = Math.min(Math.ceil(((number + 1) * size - p.offset) / width), p.n);
        const key = `${p.file}\n${number}`;
        if (!found.has(key)) found.set(key, { blob: p.blob, file: p.file, number, pieces: [] });
        found.get(key).pieces.push({ place, first, count: next - first, offset: p.offset + first * width, width });
        first = next;
      }
    }
    return [...found.values()].sort(inFile).map(bounded);
  }

  const inFile = (a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.number - b.number);

  function bounded(window) {
    const start = Math.min(...window.pieces.map((piece) => piece.offset));
    const stop = Math.max(...window.pieces.map((piece) => piece.offset + piece.count * piece.width));
    return { ...window, start, stop };
  }

  // The bytes start to stop of a file.
  async function read(blob, file, start, stop) {
    try {
      return await blob.slice(start, stop).arrayBuffer();
    } catch (error) {
      throw new wmgp.InputError(`${file}: cannot be read; has it changed or gone? (${error.message})`);
    }
  }

  // The values at an offset of a buffer: a view, or a copy where they are not aligned.
  function view(buffer, offset, count, dtype) {
    const Values = wmgp.ARRAYS[dtype];
    const stop = offset + count * Values.BYTES_PER_ELEMENT;
    const aligned = offset % Values.BYTES_PER_ELEMENT === 0;
    return aligned ? new Values(buffer, offset, count) : new Values(buffer.slice(offset, stop));
  }

  // A copy of the values with zeros where the mask's bytes, whatever its dtype, are all zero.
  async function masked(values, mask, first) {
    const width = mask.nbytes / mask.n;
    const start = mask.offset + first * width;
    const bytes = new Uint8Array(await read(mask.blob, mask.file, start, start + values.length * width));
    const kept = (i) => bytes.subarray(i * width, (i + 1) * width).some((byte) => byte !== 0);
    return values.map((x, i) => (kept(i) ? x : 0));
  }

  // Call work(place, values, parameter) with every piece of the parameters, in the order of the files.
  async function eachBlock(parameters, work, progress = () => {}, size = WINDOW) {
    const list = windows(parameters, size);
    const begin = (window) => {
      const promise = window && read(window.blob, window.file, window.start, window.stop);
      promise?.catch(() => {}); // told when it is waited for
      return promise;
    };
    let next = begin(list[0]);
    for (const [i, window] of list.entries()) {
      const buffer = await next;
      next = begin(list[i + 1]);
      for (const { place, first, count, offset } of window.pieces) {
        const p = parameters[place];
        const values = view(buffer, offset - window.start, count, p.dtype);
        work(place, p.mask ? await masked(values, p.mask, first) : values, p);
      }
      progress(window.stop - window.start);
    }
  }

  Object.assign(wmgp, { windows, eachBlock });
});
