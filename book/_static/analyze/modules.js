// A module is a function that adds names to `wmgp`. Modules run when they are loaded, and worker.js sends their source
// text to the worker: a page opened from a disk cannot fetch scripts.
"use strict";

function createNamespace(scope) {
  const wmgp = { modules: [] };
  wmgp.defineModule = (define) => {
    wmgp.modules.push(define);
    define(wmgp);
  };
  // Invalid input. The message is one line that names the file or tensor and says what was expected.
  wmgp.InputError = class extends Error {};
  scope.wmgp = wmgp;
}

createNamespace(globalThis);
globalThis.wmgp.createNamespace = createNamespace;
