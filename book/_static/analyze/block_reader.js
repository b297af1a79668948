// Read files in windows, the next window while the current one is processed: any file needs memory for two windows.
"use strict";

wmgp.defineModule((wmgp) => {
  const WINDOW = 1 << 24; // bytes

  // The windows that contain parameters: {blob, file, start, stop, pieces: [{place, first, count, offset}]}; a value
  // belongs to the window of its first byte.
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
    return [...found.values()].sort(inFile).map(withBounds);
  }

  const inFile = (a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.number - b.number);

  function withBounds(window) {
    const start = Math.min(...window.pieces.map((piece) => piece.offset));
    const stop = Math.max(...window.pieces.map((piece) => piece.offset + piece.count * piece.width));
    return { ...window, start, stop };
  }

  // The bytes of a file from start to stop.
  async function read(blob, file, start, stop) {
    try {
      return await blob.slice(start, stop).arrayBuffer();
    } catch (error) {
      throw new wmgp.InputError(`${file}: cannot be read; has it changed or gone? (${error.message})`);
    }
  }

  // The values at an offset of a buffer: a view, or a copy if they are not aligned.
  function view(buffer, offset, count, dtype) {
    const Values = wmgp.ARRAYS[dtype];
    const stop = offset + count * Values.BYTES_PER_ELEMENT;
    const aligned = offset % Values.BYTES_PER_ELEMENT === 0;
    return aligned ? new Values(buffer, offset, count) : new Values(buffer.slice(offset, stop));
  }

  // A copy of the values, with zeros where all bytes of the mask's value are zero (whatever its dtype).
  async function applyMask(values, mask, first) {
    const width = mask.nbytes / mask.n;
    const start = mask.offset + first * width;
    const bytes = new Uint8Array(await read(mask.blob, mask.file, start, start + values.length * width));
    const kept = (i) => bytes.subarray(i * width, (i + 1) * width).some((byte) => byte !== 0);
    return values.map((x, i) => (kept(i) ? x : 0));
  }

  // Call work(place, values, parameter) for every piece of the parameters, in file order.
  async function forEachBlock(parameters, work, progress = () => {}, size = WINDOW) {
    const list = windows(parameters, size);
    const startReading = (window) => {
      const promise = window && read(window.blob, window.file, window.start, window.stop);
      promise?.catch(() => {}); // reported when it is awaited
      return promise;
    };
    let next = startReading(list[0]);
    for (const [i, window] of list.entries()) {
      const buffer = await next;
      next = startReading(list[i + 1]);
      for (const { place, first, count, offset } of window.pieces) {
        const p = parameters[place];
        const values = view(buffer, offset - window.start, count, p.dtype);
        work(place, p.mask ? await applyMask(values, p.mask, first) : values, p);
      }
      progress(window.stop - window.start);
    }
  }

  Object.assign(wmgp, { windows, forEachBlock });
});
