// The shapes of the form's arms, before anything is trained; null before the form is filled.
function formSketch() {
  if (!window.neatlabForm) return null;
  const { table: { methods, tasks }, names, values } = window.neatlabForm;
  const form = Object.fromEntries(names.map((name, i) => [name, values[i]]));
  const known = tasks[form.task];
  const shape = known ?? [64, 64];
  const settings = (part) => ({ orientation: form[`${part}.orientation`], rank: form[`${part}.rank`], depth: form[`${part}.depth`] });
  const parts = ["a", "b", "c", "d"].filter((part) => methods[form[`${part}.method`]]);
  const arms = parts.map((part) => weightsSketch(methods[form[`${part}.method`]], settings(part), shape));
  return { sketch: true, words: "Shapes of these settings, before training.", known: Boolean(known), shape, arms };
}

painters.weights = weightsPanel(formSketch, "neatlab-form");
