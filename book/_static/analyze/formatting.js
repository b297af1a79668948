// Format numbers and names as the command line does: Python's formats with halves to even, names on one line.
"use strict";

wmgp.defineModule((wmgp) => {
  // Python's format(x, ".<digits>f"). toFixed rounds exactly, but halves away from zero.
  function fixed(x, digits) {
    if (x === null || Number.isNaN(x)) return "-";
    if (!Number.isFinite(x)) return "inf";
    if (Math.abs(x) >= 1e21) return `${BigInt(x)}${digits ? `.${"0".repeat(digits)}` : ""}`; // a whole number
    const exact = x.toFixed(digits + 40);
    const tail = exact.slice(exact.indexOf(".") + 1 + digits);
    const even = Number(exact.slice(0, exact.length - tail.length).replace(/\D/g, "").slice(-1)) % 2 === 0;
    if (/^50*$/.test(tail) && even) return exact.slice(0, exact.length - tail.length).replace(/\.$/, "");
    return x.toFixed(digits);
  }

  // [mantissa, exponent of ten] with this many decimals, halves to even.
  function scientific(x, decimals) {
    const [exact, power] = x.toExponential(60).split("e");
    const end = exact.indexOf(".") + 1 + decimals;
    const kept = exact.slice(0, end).replace(/\.$/, "");
    const even = Number(kept.slice(-1)) % 2 === 0;
    const down = even && /^50*$/.test(exact.slice(end));
    return down ? [kept, power] : x.toExponential(decimals).split("e");
  }

  // Python's format(x, ".<digits>g").
  function general(x, digits) {
    if (x === null || Number.isNaN(x)) return "-";
    if (!Number.isFinite(x)) return "inf";
    const [mantissa, power] = scientific(x, digits - 1);
    const strip = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
    const exponent = Number(power);
    const plain = exponent >= -4 && exponent < digits;
    if (plain) return strip(Number(`${mantissa}e${power}`).toFixed(digits - 1 - exponent));
    return `${strip(mantissa)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }

  const count = (n) => (n === null ? "-" : n.toLocaleString("en-US"));
  const share = (part, n) => (part === null || n === 0 ? "-" : fixed(part / n, 4));
  const percent = (x) => `${(100 * x).toFixed(1)}%`;
  const shape = (sizes) => sizes.join("x") || "scalar";

  // The text on one line, with control characters escaped: names come from files.
  function printable(text) {
    return text.replace(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (character) => {
      const code = character.codePointAt(0);
      const short = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
      const hex = (letter, width) => `\\${letter}${code.toString(16).padStart(width, "0")}`;
      return short ?? (code < 256 ? hex("x", 2) : code < 65536 ? hex("u", 4) : hex("U", 8));
    });
  }

  Object.assign(wmgp, { fixed, general, count, share, percent, shape, printable });
});
