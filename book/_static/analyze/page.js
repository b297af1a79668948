// The page itself: what the reader sets, what it asks for, and showing the answer.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const { FILES } = wmgp;
  const state = { source: "normal", tail: null, amount: null, pool: "weight_bias" }; // amount null: the optimum
  let files = []; // the last ones that were given
  let report = null;
  let running = null;
  let speaking = 0;

  // Whatever runs on this page, the browser itself lets nothing out of it.
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

  // The controls as the state has them.
  function showControls() {
    const tail = wmgp.FAMILIES[state.source]?.tail ?? null;
    $("source").value = state.source;
    $("pool").value = state.pool;
    $("pool-row").hidden = state.source !== FILES;
    $("tail-row").hidden = tail === null;
    if (tail) {
      Object.assign($("tail"), { min: tail.least, max: tail.most, step: tail.step, value: state.tail });
      $("tail-name").textContent = tail.name;
      $("tail-said").textContent = tail.said;
      $("tail-value").textContent = state.tail;
    }
  }

  // Begin again with the state's source.
  function start() {
    stop();
    showControls();
    history.replaceState(null, "", wmgp.addressOf(state));
    if (state.source !== FILES) {
      report = wmgp.analyzeDistribution(state.source, state.tail);
      return show();
    }
    report = null;
    $("result").hidden = true;
    if (files.length) return analyze();
    refuse("Choose the files above: a link cannot hold them.");
  }

  async function analyze() {
    const job = wmgp.analyzeInWorker(files, state.pool, (share) => {
      if (running !== job) return;
      $("progress").value = share;
      $("share").textContent = `${Math.floor(100 * share)}%`;
    });
    running = job;
    [$("progress").value, $("share").textContent, $("working").hidden] = [0, "0%", false];
    try {
      const found = await job.done;
      if (running !== job) return;
      report = found;
      stop();
      show();
    } catch (error) {
      if (running !== job) return;
      stop();
      refuse(error instanceof wmgp.InputError ? error.message : `The analysis broke off: ${error.message}`);
    }
  }

  // End what is running, and forget what was said of it.
  function stop() {
    running?.cancel();
    running = null;
    $("working").hidden = true;
    $("wrong").hidden = true;
    $("wrong").textContent = "";
  }

  function refuse(reason) {
    $("wrong").textContent = wmgp.printable(reason);
    $("wrong").hidden = false;
  }

  // Everything that does not depend on the chosen amount, and then what does.
  function show() {
    $("name").textContent = wmgp.printable(report.source);
    $("facts").replaceChildren(wmgp.factsTable(report));
    $("warnings").replaceChildren(...report.warnings.map((text) => item(`Warning: ${wmgp.shortened(text)}`)));
    $("tensors").hidden = !report.tensors.length;
    $("tensors").lastElementChild.replaceChildren(wmgp.tensorsTable(report.tensors));
    $("numbers").lastElementChild.replaceChildren(wmgp.frontTable(report));
    showRisk();
    report.named = [["optimal", report.optimal], ["safe", report.safe], ["cosine 0.99", wmgp.atCosine(report, 0.99)]];
    report.bins = wmgp.magnitudeBins(report);
    report.random = wmgp.randomCurve(report);
    $("result").hidden = false;
    showAmount();
  }

  function item(text) {
    return Object.assign(document.createElement("li"), { textContent: text });
  }

  function showRisk() {
    const rows = wmgp.atRisk(report);
    const heading = Object.assign(document.createElement("h3"), { textContent: "Tensors at risk" });
    const said = document.createElement("p");
    said.textContent = rows.length
      ? "The optimal amount takes 99% or more of the values of these:"
      : "None: every tensor keeps more than 1% of its values at the optimal amount.";
    const scroll = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Tensors at risk");
    if (rows.length) scroll.append(wmgp.tensorsTable(rows));
    $("risk").replaceChildren(...(report.tensors.length ? [heading, said, ...(rows.length ? [scroll] : [])] : []));
  }

  // What the amount decides: the sentence, the marks of the drawings, a row of the table.
  function showAmount() {
    const point = state.amount === null ? report.optimal : wmgp.pointOf(report, state.amount);
    $("amount").value = point.amount;
    $("amount-value").textContent = wmgp.percent(point.amount);
    $("amount").setAttribute("aria-valuetext", wmgp.percent(point.amount));
    $("follow").disabled = state.amount === null;
    const rows = [...report.named, ["your amount", point]];
    $("points").replaceChildren(wmgp.pointsTable(report, rows));
    const said = wmgp.sentence(point);
    const looks = { optimal: ["circle", "red"], safe: ["square", "yellow"], "cosine 0.99": ["diamond", "green"] };
    const marked = state.amount === null ? report.named : rows; // the optimum has a mark of its own
    const marks = marked.filter(([, at]) => at).map(([name, { amount, cosine }]) => {
      const [kind, colour] = looks[name] ?? ["triangle", "black"];
      return { name: name === "optimal" ? "nearest to utopia" : name, kind, colour, amount, cosine };
    });
    $("front").replaceChildren(wmgp.frontChart(report.front, marks, point, report.random, `${describe()} ${said}`));
    $("energy").replaceChildren(...(report.bins ? [wmgp.energyChart(report.bins, point.threshold, said)] : []));
    clearTimeout(speaking); // a screen reader hears the last of many changes
    speaking = setTimeout(() => ($("said").textContent = said), 250);
  }

  function describe() {
    const { amount, cosine } = report.optimal;
    return "A curve from cosine 1 with nothing pruned to its end with everything pruned. The point nearest to " +
      `utopia, the upper right corner, is at ${wmgp.percent(amount)} and cosine ${wmgp.fixed(cosine, 4)}.`;
  }

  function take(list) {
    if (!list.length) return;
    files = [...list];
    Object.assign(state, { source: FILES, tail: null, amount: null });
    start();
  }

  function choose(source) {
    Object.assign(state, { source, amount: null, tail: wmgp.FAMILIES[source]?.tail?.first ?? null });
    start();
  }

  function setAmount(amount) {
    state.amount = amount;
    history.replaceState(null, "", wmgp.addressOf(state));
    if (report) showAmount();
  }

  function listen() {
    $("files").addEventListener("change", () => take($("files").files));
    for (const kind of ["dragover", "dragleave", "drop"]) {
      $("drop").addEventListener(kind, (event) => {
        event.preventDefault();
        $("drop").classList.toggle("over", kind === "dragover");
        if (kind === "drop") take(event.dataTransfer.files);
      });
    }
    $("cancel").addEventListener("click", () => {
      stop();
      refuse("Cancelled.");
      $("files").focus();
    });
    $("source").addEventListener("change", () => choose($("source").value));
    $("pool").addEventListener("change", () => {
      Object.assign(state, { pool: $("pool").value, amount: null });
      start();
    });
    $("tail").addEventListener("input", () => {
      state.tail = Number($("tail").value);
      start();
    });
    $("amount").addEventListener("input", () => setAmount(Number($("amount").value)));
    $("follow").addEventListener("click", () => setAmount(null));
    for (const button of document.querySelectorAll("#analyzer [data-kind]")) {
      button.addEventListener("click", () => wmgp.download(button.dataset.kind, report, $("front").firstElementChild));
    }
    $("link").addEventListener("click", copyLink);
    window.addEventListener("hashchange", follow);
  }

  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      $("copied").textContent = "Copied.";
    } catch {
      $("copied").textContent = `The address of this page is the link: ${location.href}`;
    }
  }

  // Another address is another state, unless it only leads to a place on the page.
  function follow() {
    const found = wmgp.stateOf(location.hash);
    if (!found) return;
    Object.assign(state, found);
    start();
  }

  forbidConnections();
  fillSources();
  listen();
  Object.assign(state, wmgp.stateOf(location.hash));
  start();
})();
