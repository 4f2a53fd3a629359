// Which matrices stand in an arm's lines, and the largest scale at which all of them are seen.
const weightsLayout = (() => {
  const [THIN, LABEL, HEAD, GAP, CHARACTER] = [5, 13, 18, 8, 6.5]; // pixels
  const [LINE, LEAST] = [18, 40]; // of the largest matrix, its longer side

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

  // The sizes of the arms' part: in this many columns, each as wide as the widest line.
  function sizeOf(arms, armColumns, scale) {
    const heights = arms.map((lines) => HEAD + lines.reduce((sum, line) => sum + down(line, scale), 0));
    const rows = [...Array(Math.ceil(arms.length / armColumns)).keys()].map((i) => Math.max(...heights.slice(i * armColumns, (i + 1) * armColumns)));
    const widest = Math.max(0, ...arms.flat().map((line) => across(line, scale)));
    return [armColumns * widest + (armColumns - 1) * GAP, rows.reduce((sum, row) => sum + row, 0)];
  }

  // The largest scale at which all is seen: W₀ and what belongs to no arm on the left in one to three columns, the arms in one
  // or two, an arm's matrices in one line or two. What would be smaller than one can see is scrolled.
  function fit(arms, extras, shape, width, height) {
    const least = Math.min(1, LEAST / Math.max(...shape, 1));
    const forms = [false, true].map((parted) => arms.map((lines) => (parted ? lines : [lines.flat()])));
    for (let scale = 8; ; scale /= 1.04) {
      const [w, h] = [side(shape[1], scale), side(shape[0], scale)];
      for (const lines of forms) {
        for (let armColumns = 1; armColumns <= Math.min(2, Math.max(1, arms.length - 1)); armColumns++) {
          const [right, tall] = sizeOf(lines, armColumns, scale);
          for (let columns = 1; columns <= Math.max(extras, 1); columns++) {
            const isNarrow = columns * (w + GAP) + GAP + right <= width;
            const isLow = Math.max(tall, Math.ceil(extras / columns) * (h + LABEL)) <= height;
            if (isNarrow && (isLow || scale <= least)) return { scale, columns, armColumns, lines, scrolls: !isLow };
          }
        }
      }
      if (scale <= least) return { scale, columns: 1, armColumns: 1, lines: forms[1], scrolls: true };
    }
  }

  return { terms, fit, side, LINE };
})();
