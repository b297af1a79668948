// An analysis in a worker, which is made of the rooms loaded so far; where no worker can be had, in the page itself.
"use strict";

wmgp.analyzeInWorker = (() => {
  const source = [
    `"use strict"; (${wmgp.beginRooms})(globalThis);`,
    ...wmgp.rooms.map((room) => `wmgp.room(${room});`),
    `(${serve})();`,
  ].join("\n");

  // The worker's side: one question, answered by progress and then by a report or a reason.
  function serve() {
    globalThis.onmessage = async ({ data: { files, pool } }) => {
      try {
        const report = await wmgp.analyze(files, pool, (share) => postMessage({ share }));
        postMessage({ report });
      } catch (error) {
        postMessage({ refused: error instanceof wmgp.InputError, reason: String(error.message || error) });
      }
    };
  }

  function start() {
    try {
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      const worker = new Worker(address);
      URL.revokeObjectURL(address);
      return worker;
    } catch {
      return null; // a browser that forbids it
    }
  }

  // {done: a promise of the report, cancel()}; a cancelled one stays unsettled.
  return (files, pool, progress) => {
    const worker = start();
    if (!worker) return { done: wmgp.analyze(files, pool, progress), cancel: () => {} };
    const done = new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message || "the worker could not start"));
      worker.onmessage = ({ data: { share, report, refused, reason } }) => {
        if (share !== undefined) return progress(share);
        worker.terminate();
        if (report) resolve({ ...report, levels: Object.setPrototypeOf(report.levels, wmgp.Magnitudes.prototype) });
        else reject(refused ? new wmgp.InputError(reason) : new Error(reason));
      };
    });
    worker.postMessage({ files: [...files], pool });
    return { done, cancel: () => worker.terminate() };
  };
})();
