// The home page's pruning widget (book/_ext/pruning_widget.py): the remaining weights of L1 and random pruning against
// the amount. It plays once for less than five seconds unless the reader prefers reduced motion; after that a slider
// sets the amount. The values for every percent were computed while the book was built.
"use strict";

(() => {
  const DURATION = 4500; // milliseconds
  const RISE = 0.7; // share of the duration up to 100%; the rest goes back to the optimum
  const figure = document.querySelector("figure.pruning-widget");
  if (!figure) return;
  const front = JSON.parse(figure.querySelector(".pictures").dataset.front);
  const find = (selector) => figure.querySelector(selector);
  const [button, slider, readout] = [find("button"), find("input"), find(".readout")];
  const set = (selector, name, value) => find(selector).setAttribute(name, value);

  // Interpolate a row of the front between two whole percents.
  function interpolate(row, percent) {
    const below = Math.min(Math.floor(percent), 99);
    return row[below] + (row[below + 1] - row[below]) * (percent - below);
  }

  function show(percent) {
    const [threshold, l1, random] = [front.threshold, front.l1, front.random].map((row) => interpolate(row, percent));
    set(".below", "x", -50 - threshold);
    set(".above", "x", threshold);
    set(".random .remaining", "transform", `scale(1 ${1 - percent / 100})`);
    for (const [name, cosine] of [["l1", l1], ["random", random]]) {
      set(`.mark.${name}`, "cx", percent);
      set(`.mark.${name}`, "cy", 100 - 100 * cosine);
    }
    const whole = Math.round(percent);
    slider.value = whole;
    const words = `${whole}% pruned. Cosine to the parent: ${front.l1[whole].toFixed(2)} by L1, ` +
      `${front.random[whole].toFixed(2)} at random.`;
    readout.textContent = words;
    slider.setAttribute("aria-valuetext", words);
  }

  let playing = 0; // the requested animation frame, or 0

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    button.textContent = "Play";
  }

  function play() {
    let start;
    const ease = (x) => x * x * (3 - 2 * x);
    const step = (now) => {
      start ??= now;
      const x = Math.min((now - start) / DURATION, 1);
      show(x < RISE ? 100 * ease(x / RISE) : 100 + (front.optimum - 100) * ease((x - RISE) / (1 - RISE)));
      if (x < 1) {
        playing = requestAnimationFrame(step);
      } else {
        stop();
        show(front.optimum); // no rounding
      }
    };
    button.textContent = "Stop";
    playing = requestAnimationFrame(step);
  }

  find(".controls").hidden = false;
  button.addEventListener("click", () => (playing ? stop() : play()));
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  addEventListener("beforeprint", () => {
    stop();
    show(front.optimum);
  });
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (!playing) play();
    }, { threshold: 0.6 }).observe(figure.querySelector(".square"));
  }
})();
