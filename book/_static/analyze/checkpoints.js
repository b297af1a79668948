// Open dropped files as one checkpoint: a safetensors file, or shards with or without their index.
"use strict";

wmgp.defineModule((wmgp) => {
  // First bytes of files that are often mistaken for a checkpoint.
  const FILE_KINDS = [
    ["version https://git-lfs", "a Git LFS pointer instead of the file itself (fetch it with git lfs pull)"],
    ["<", "an HTML or XML page, perhaps a failed download"],
    ["PK\x03\x04", "a file of torch.save or another zip archive; this page reads safetensors, `wmgp analyze` both"],
    ["\x80", "a pickle, as torch.save once wrote; this page reads safetensors, `wmgp analyze` both"],
    ["\x89HDF", "HDF5 (Keras)"],
    ["GGUF", "GGUF"],
    ["\x93NUMPY", "a NumPy array"],
    ["\x1f\x8b", "a gzip archive"],
    ["{", "JSON without a weight_map"],
  ];

  // Return {label, tensors} of one or several files; tensors as returned by readHeader.
  async function openCheckpoint(files) {
    const label = files.length === 1 ? files[0].name : `${files.length} files`;
    const shards = new Map();
    const indices = [];
    for (const file of [...files].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))) {
      const table = await weightMap(file);
      if (table) indices.push({ name: file.name, table });
      else if (shards.has(file.name)) throw new wmgp.InputError(`${file.name}: two files of this name`);
      else shards.set(file.name, await readShard(file));
    }
    if (indices.length > 1) throw new wmgp.InputError(`${indices[1].name}: several indices; drop one with its shards`);
    const checkpoint = { label, tensors: indices.length ? resolveIndex(indices[0], shards) : combineShards(shards) };
    wmgp.rejectQuantized(checkpoint);
    return checkpoint;
  }

  async function readShard(file) {
    const head = await readStart(file, 64);
    if (head === "") throw new wmgp.InputError(`${file.name}: the file is empty`);
    if (head[8] === "{") return wmgp.readHeader(file, file.name);
    const start = head.replace(/^(\xef\xbb\xbf)?[ \t\r\n]*/, "");
    const guess = FILE_KINDS.find(([magic]) => start.startsWith(magic));
    const looks = guess ? `it looks like ${guess[1]}` : `it begins with ${JSON.stringify(head.slice(0, 8))}`;
    throw new wmgp.InputError(`${file.name}: not a safetensors file or an index of shards: ${looks}`);
  }

  // The first bytes of a file, one character per byte.
  async function readStart(file, length) {
    try {
      return String.fromCharCode(...new Uint8Array(await file.slice(0, length).arrayBuffer()));
    } catch (error) {
      throw new wmgp.InputError(`${file.name}: cannot be read: is it a folder, or gone? (${error.message})`);
    }
  }

  // The tensor -> file table of an index of shards; null if the file is not an index.
  async function weightMap(file) {
    if (!/^(\xef\xbb\xbf)?\s*\{/.test(await readStart(file, 64)) || file.size > 1e8) return null;
    try {
      const table = JSON.parse(await file.text()).weight_map;
      const found = Object.entries(table);
      return found.length && found.every(([, shard]) => typeof shard === "string") ? new Map(found) : null;
    } catch {
      return null;
    }
  }

  // The tensors of an index, in its order; every shard must be among the files.
  function resolveIndex({ name: index, table }, shards) {
    const places = new Map([...shards].map(([file, tensors]) => [file, new Map(tensors.map((t) => [t.name, t]))]));
    return [...table].map(([name, shard]) => {
      const file = shard.split(/[\\/]/).pop();
      if (!places.has(file)) throw new wmgp.InputError(`${index}: the shard '${shard}' is missing: drop it too`);
      const tensor = places.get(file).get(name);
      if (tensor) return tensor;
      throw new wmgp.InputError(`${index}: the index places the tensor '${name}' in '${shard}', where it is missing`);
    });
  }

  function combineShards(shards) {
    const fileOf = new Map();
    for (const [file, tensors] of shards) {
      for (const { name } of tensors) {
        if (!fileOf.has(name)) fileOf.set(name, file);
        else throw new wmgp.InputError(`the tensor '${name}' is in both ${fileOf.get(name)} and ${file}`);
      }
    }
    return [...shards.values()].flat();
  }

  Object.assign(wmgp, { openCheckpoint });
});
