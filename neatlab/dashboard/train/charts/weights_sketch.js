// The shapes of a form's arms, before anything is trained; null before the form is filled.
const weightsSketch = (() => {
  function sketch() {
    if (!window.neatlabForm) return null;
    const { table: { methods, tasks }, names, values } = window.neatlabForm;
    const form = Object.fromEntries(names.map((name, i) => [name, values[i]]));
    const known = tasks[form.task];
    const shape = known ?? [64, 64];
    const arms = ["a", "b", "c", "d"].filter((part) => methods[form[`${part}.method`]]).map((part) => sketched(part, form, methods, shape));
    return { sketch: true, known: Boolean(known), shape, arms };
  }

  function sketched(part, form, methods, [m, n]) {
    const { kind, title, colour, labels } = methods[form[`${part}.method`]];
    const orientation = form[`${part}.orientation`];
    const over = orientation === "auto" ? m <= n : orientation !== "in";
    const rank = Math.min(Math.max(1, Math.floor(Number(form[`${part}.rank`])) || 1), kind === "product" ? 4096 : Math.min(m, n));
    const depth = Math.min(64, Math.max(2, Number(form[`${part}.depth`]) || 2));
    const turned = kind === "network" && !over;
    const names = turned ? [labels[1], labels[0].replace(/ᵀ$/, "")] : labels;
    return { name: title, colour, kind: kind === "network" ? (over ? "out" : "in") : kind, labels: names, rank, depth };
  }

  return sketch;
})();
