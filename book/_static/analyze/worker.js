// Run an analysis in a worker made of the modules loaded so far; without workers, run it in the page.
"use strict";

wmgp.analyzeInWorker = (() => {
  const source = [
    `"use strict"; (${wmgp.createNamespace})(globalThis);`,
    ...wmgp.modules.map((define) => `wmgp.defineModule(${define});`),
    `(${serve})();`,
  ].join("\n");

  // The worker's side: receives files and a pool; sends progress, then a report or an error.
  function serve() {
    globalThis.onmessage = async ({ data: { files, pool } }) => {
      try {
        const report = await wmgp.analyze(files, pool, (share) => postMessage({ share }));
        postMessage({ report });
      } catch (error) {
        postMessage({ isInputError: error instanceof wmgp.InputError, reason: String(error.message || error) });
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
      return null; // the browser forbids workers
    }
  }

  // Return {done: a promise of the report, cancel()}; a cancelled promise stays unsettled.
  return (files, pool, progress) => {
    const worker = start();
    if (!worker) return { done: wmgp.analyze(files, pool, progress), cancel: () => {} };
    const done = new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message || "the worker could not start"));
      worker.onmessage = ({ data: { share, report, isInputError, reason } }) => {
        if (share !== undefined) return progress(share);
        worker.terminate();
        if (report) resolve({ ...report, levels: Object.setPrototypeOf(report.levels, wmgp.Magnitudes.prototype) });
        else reject(isInputError ? new wmgp.InputError(reason) : new Error(reason));
      };
    });
    worker.postMessage({ files: [...files], pool });
    return { done, cancel: () => worker.terminate() };
  };
})();
