// Which matrices stand in an arm's lines, and the largest scale at which all of them are seen.
const weightsLayout = (() => {
  const [THIN, LABEL, HEAD, GAP, CHARACTER] = [5, 13, 18, 8, 6.5]; // pixels
  const LINE = 18;

  // What stands in an arm's lines: matrices and the signs between them; what makes H may stand in a line of its own. An axis is
  // of the layer's outputs or inputs, or of the arm's hidden units; inner matrices have none.
  function terms(arm, [m, n]) {
    const map = (role, label, rows, columns, axes) => ({ role, label, rows, columns, axes });
    const [r, delta] = [arm.rank, map("delta", "ΔW", m, n, ["out", "in"])];
    if (arm.kind === "dense") return [[delta]];
    const [left, right] = arm.labels;
    const line = [delta, "=", map("left", left, m, r, ["out", "unit"]), "·", map("right", right, r, n, ["unit", "in"])];
    if (arm.kind === "product") return [line];
    const over = arm.kind === "out";
    const inner = [...Array(Math.min(arm.depth - 2, 4)).keys()].map((i) => map(`inner${i}`, "", r, r, []));
    const before = map("before", over ? "Θ₁ᵀW₀" : "(W₀Θ₁)ᵀ", r, over ? n : m, ["unit", over ? "in" : "out"]);
    const first = map("first", "Θ₁ᵀ", r, over ? m : n, ["unit", over ? "out" : "in"]);
    const has = (one) => !arm.maps || arm.maps[one.role];
    return [line, [over ? "H=σ" : "Hᵀ=σ", ...inner.filter(has), { stack: [before, first].filter(has) }]];
  }

  const side = (size, scale) => Math.max(THIN, Math.round(size * scale));
  const wide = (term, scale) =>
    typeof term === "string" ? term.length * CHARACTER + 6 : term.stack ? Math.max(...term.stack.map((one) => wide(one, scale))) : side(term.columns, scale) + 2;
  const high = (term, scale) =>
    typeof term === "string" ? LINE : term.stack ? term.stack.reduce((sum, one) => sum + high(one, scale), 0) : side(term.rows, scale) + LABEL;

  const across = (line, scale) => line.reduce((sum, term) => sum + wide(term, scale) + 2, 0);
  const down = (line, scale) => Math.max(0, ...line.map((term) => high(term, scale)));

  // The largest scale at which all is seen: W₀ and what belongs to no arm on the left in one to three columns, an arm's
  // matrices in one line or two.
  function fit(arms, extras, shape, width, height) {
    for (let scale = 8; ; scale /= 1.04) {
      const [w, h] = [side(shape[1], scale), side(shape[0], scale)];
      for (const parted of [false, true]) {
        const all = arms.map((lines) => (parted ? lines : [lines.flat()]));
        const right = Math.max(0, ...all.flat().map((line) => across(line, scale)));
        const tall = all.reduce((sum, lines) => sum + HEAD + lines.reduce((rest, line) => rest + down(line, scale), 0), 0);
        for (let columns = 1; columns <= Math.max(extras, 1); columns++) {
          const fits = columns * (w + GAP) + GAP + right <= width && Math.max(tall, Math.ceil(extras / columns) * (h + LABEL)) <= height;
          if (fits || scale < 0.005) return { scale, columns, lines: all };
        }
      }
    }
  }

  return { terms, fit, side, LINE };
})();
