// The page: its controls, the running analysis and the display of the report.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const { FILES } = wmgp;
  const state = { source: "normal", tail: null, amount: null, pool: "weight_bias" }; // amount null: careful
  let files = []; // the files chosen last
  let report = null;
  let running = null;
  let announceTimer = 0;

  // Let the browser block every connection from this page.
  function forbidConnections() {
    const policy = document.createElement("meta");
    policy.httpEquiv = "Content-Security-Policy";
    policy.content = "connect-src 'none'; form-action 'none'";
    document.head.append(policy);
  }

  function fillSources() {
    const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
    $("source").append(option(FILES, "my files"));
    for (const [family, { title }] of Object.entries(wmgp.FAMILIES)) {
      $("source").append(option(family, `a distribution: ${title}`));
    }
  }

  // Set the controls from the state.
  function showControls() {
    const tail = wmgp.FAMILIES[state.source]?.tail ?? null;
    $("source").value = state.source;
    $("pool").value = state.pool;
    $("pool-row").hidden = state.source !== FILES;
    $("tail-row").hidden = tail === null;
    if (tail) {
      Object.assign($("tail"), { min: tail.min, max: tail.max, step: tail.step, value: state.tail });
      $("tail-name").textContent = tail.name;
      $("tail-hint").textContent = tail.hint;
      $("tail-value").textContent = state.tail;
    }
  }

  // Analyse the state's source from the start.
  function start() {
    stop();
    showControls();
    history.replaceState(null, "", wmgp.formatUrlState(state));
    if (state.source !== FILES) {
      report = wmgp.analyzeDistribution(state.source, state.tail);
      return show();
    }
    report = null;
    $("result").hidden = true;
    if (files.length) return analyze();
    showError("Choose the files above: a link cannot contain them.");
  }

  async function analyze() {
    const job = wmgp.analyzeInWorker(files, state.pool, (share) => {
      if (running !== job) return;
      $("progress").value = share;
      $("progress-text").textContent = `${Math.floor(100 * share)}%`;
    });
    running = job;
    [$("progress").value, $("progress-text").textContent, $("working").hidden] = [0, "0%", false];
    try {
      const found = await job.done;
      if (running !== job) return;
      report = found;
      stop();
      show();
    } catch (error) {
      if (running !== job) return;
      stop();
      showError(error instanceof wmgp.InputError ? error.message : `The analysis failed: ${error.message}`);
    }
  }

  // Cancel the running analysis and clear the error message.
  function stop() {
    running?.cancel();
    running = null;
    $("working").hidden = true;
    $("error").hidden = true;
    $("error").textContent = "";
  }

  function showError(reason) {
    $("error").textContent = wmgp.printable(reason);
    $("error").hidden = false;
  }

  // Show everything that does not depend on the chosen amount, then call showAmount.
  function show() {
    $("name").textContent = wmgp.printable(report.source);
    $("facts").replaceChildren(wmgp.factsTable(report));
    $("warnings").replaceChildren(...report.warnings.map((text) => listItem(`Warning: ${wmgp.shortened(text)}`)));
    $("tensors").hidden = !report.tensors.length;
    $("tensors").lastElementChild.replaceChildren(wmgp.tensorsTable(report.tensors));
    $("front-table").lastElementChild.replaceChildren(wmgp.frontTable(report));
    showTensorsAtRisk();
    const at99 = wmgp.pointAtCosine(report, 0.99);
    report.named = [
      ["careful", report.careful], ["safe", report.safe], ["cosine 0.99", at99], ["optimal (paper)", report.optimal],
    ];
    report.bins = wmgp.magnitudeBins(report);
    report.random = wmgp.randomCurve(report);
    $("result").hidden = false;
    showAmount();
  }

  function listItem(text) {
    return Object.assign(document.createElement("li"), { textContent: text });
  }

  function showTensorsAtRisk() {
    const rows = wmgp.tensorsAtRisk(report);
    const heading = Object.assign(document.createElement("h3"), { textContent: "Tensors at risk" });
    const text = document.createElement("p");
    text.textContent = rows.length
      ? "The optimal amount prunes 99% or more of the values of these tensors:"
      : "None: every tensor keeps more than 1% of its values at the optimal amount.";
    const scroll = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Tensors at risk");
    if (rows.length) scroll.append(wmgp.tensorsTable(rows));
    $("at-risk").replaceChildren(...(report.tensors.length ? [heading, text, ...(rows.length ? [scroll] : [])] : []));
  }

  // Show everything that depends on the amount: the sentence, the charts' markers, a row of the table.
  function showAmount() {
    const point = state.amount === null ? report.careful : wmgp.pointAtAmount(report, state.amount);
    $("amount").value = point.amount;
    $("amount-value").textContent = wmgp.percent(point.amount);
    $("amount").setAttribute("aria-valuetext", wmgp.percent(point.amount));
    $("reset").disabled = state.amount === null;
    const rows = [...report.named, ["your amount", point]];
    $("points").replaceChildren(wmgp.pointsTable(report, rows));
    const summary = wmgp.summarySentence(point);
    const markers = {
      "optimal (paper)": ["circle", "red"], safe: ["square", "yellow"], "cosine 0.99": ["diamond", "green"],
    };
    const shown = rows.filter(([name, at]) => at && name !== "careful"); // careful equals another point, or is chosen
    const marks = shown.map(([name, { amount, cosine }]) => {
      const [kind, colour] = markers[name] ?? ["triangle", "black"];
      return { name: name === "optimal (paper)" ? "nearest to utopia" : name, kind, colour, amount, cosine };
    });
    const description = `${describeFront()} ${summary}`;
    $("front").replaceChildren(wmgp.frontChart(report.front, marks, point, report.random, description));
    $("energy").replaceChildren(...(report.bins ? [wmgp.energyChart(report.bins, point.threshold, summary)] : []));
    clearTimeout(announceTimer); // screen readers announce only the last of many changes
    announceTimer = setTimeout(() => ($("summary").textContent = summary), 250);
  }

  function describeFront() {
    const { amount, cosine } = report.optimal;
    return "The curve starts at cosine 1 with nothing pruned and ends with everything pruned. The point nearest to " +
      `utopia, the upper right corner, is at ${wmgp.percent(amount)} and cosine ${wmgp.fixed(cosine, 4)}.`;
  }

  function loadFiles(list) {
    if (!list.length) return;
    files = [...list];
    Object.assign(state, { source: FILES, tail: null, amount: null });
    start();
  }

  function chooseSource(source) {
    Object.assign(state, { source, amount: null, tail: wmgp.FAMILIES[source]?.tail?.initial ?? null });
    start();
  }

  function setAmount(amount) {
    state.amount = amount;
    history.replaceState(null, "", wmgp.formatUrlState(state));
    if (report) showAmount();
  }

  function addListeners() {
    $("files").addEventListener("change", () => loadFiles($("files").files));
    for (const kind of ["dragover", "dragleave", "drop"]) {
      $("drop").addEventListener(kind, (event) => {
        event.preventDefault();
        $("drop").classList.toggle("over", kind === "dragover");
        if (kind === "drop") loadFiles(event.dataTransfer.files);
      });
    }
    $("cancel").addEventListener("click", () => {
      stop();
      showError("Cancelled.");
      $("files").focus();
    });
    $("source").addEventListener("change", () => chooseSource($("source").value));
    $("pool").addEventListener("change", () => {
      Object.assign(state, { pool: $("pool").value, amount: null });
      start();
    });
    $("tail").addEventListener("input", () => {
      state.tail = Number($("tail").value);
      start();
    });
    $("amount").addEventListener("input", () => setAmount(Number($("amount").value)));
    $("reset").addEventListener("click", () => setAmount(null));
    for (const button of document.querySelectorAll("#analyzer [data-kind]")) {
      button.addEventListener("click", () => wmgp.download(button.dataset.kind, report, $("front").firstElementChild));
    }
    $("link").addEventListener("click", copyLink);
    window.addEventListener("hashchange", readUrl);
  }

  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      $("link-status").textContent = "Copied.";
    } catch {
      $("link-status").textContent = `The address of this page is the link: ${location.href}`;
    }
  }

  // Read the state from the URL, unless its fragment is only an anchor on the page.
  function readUrl() {
    const found = wmgp.parseUrlState(location.hash);
    if (!found) return;
    Object.assign(state, found);
    start();
  }

  forbidConnections();
  fillSources();
  addListeners();
  Object.assign(state, wmgp.parseUrlState(location.hash));
  start();
})();
