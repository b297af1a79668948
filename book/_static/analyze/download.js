// Downloads: the front's chart as SVG or PNG, its points as CSV, the report as JSON, all created in the browser.
"use strict";

(() => {
  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function serialize(svg) {
    const copy = svg.cloneNode(true);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }

  // Twice the chart's resolution.
  async function png(svg) {
    const { text, width, height } = serialize(svg);
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  const nullIfNotFinite = (x) => (typeof x === "number" && !Number.isFinite(x) ? null : x);

  // The report in the form of the package's to_dict; undefined values are null.
  wmgp.asJson = (report) => {
    const { source, pool, n_parameters, n_prunable, kurtosis, kurtosis_of_kurtoses, warnings } = report;
    const { amount, cosine } = report.front;
    const tensors = report.tensors.map(({ prunable, ...row }) => row);
    const numbers = { source, pool, n_parameters, n_prunable, kurtosis, kurtosis_of_kurtoses };
    const { careful, safe, optimal, outside } = report;
    const points = { careful, safe, "at_cosine_0.99": wmgp.pointAtCosine(report, 0.99), optimal };
    const whole = { ...numbers, front: { amount, cosine }, ...points, outside, tensors, warnings };
    return JSON.stringify(whole, (_, value) => nullIfNotFinite(value));
  };

  wmgp.asCsv = ({ front }) => {
    const names = Object.keys(front);
    const lines = front.amount.map((_, i) => names.map((name) => nullIfNotFinite(front[name][i]) ?? "").join(","));
    return [names.join(","), ...lines, ""].join("\n");
  };

  wmgp.download = async (kind, report, svg) => {
    const source = report.source.replace(/\.safetensors$/, "").replace(/[^\w.-]+/g, "_");
    const makers = {
      svg: () => new Blob([serialize(svg).text], { type: "image/svg+xml" }),
      png: () => png(svg),
      csv: () => new Blob([wmgp.asCsv(report)], { type: "text/csv" }),
      json: () => new Blob([wmgp.asJson(report)], { type: "application/json" }),
    };
    save(await makers[kind](), `${source}-front.${kind}`);
  };
})();
