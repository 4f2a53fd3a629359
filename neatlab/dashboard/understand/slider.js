// A slider below a number: it types into the field, so that link and equations follow, and it follows the field.
// `element` is what gr.HTML hands to js_on_load.
const range = element.querySelector("input");
const [OCTAVE, MAX_RANK] = [8, 64]; // steps of a doubling; where the slider of the rank ends, a larger one is typed
const { name } = range.dataset;
const isSide = name.startsWith("d_");

const sizeAt = (at) => (isSide ? 2 ** Math.floor(at / OCTAVE) * (1 + (at % OCTAVE) / OCTAVE) : at);
function placeOf(size) {
  if (!isSide) return size;
  const octave = Math.floor(Math.log2(size));
  return octave * OCTAVE + Math.round(OCTAVE * (size / 2 ** octave - 1));
}

const boxOf = (id) => document.querySelector(`#${id} input[type=number]`);
function type(id, size) {
  const box = boxOf(id);
  if (Number(box.value) === size) return;
  box.value = size;
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

range.addEventListener("input", () => {
  const size = sizeAt(Number(range.value));
  range.ariaValueText = size.toLocaleString("en");
  type(`size-${name.replace("_", "-")}`, size);
  const limit = Math.min(Number(boxOf("size-d-in").value), Number(boxOf("size-d-out").value));
  if (Number(boxOf("size-rank").value) > limit) type("size-rank", limit); // a narrower layer allows less
});

function follow() {
  const sizes = window.neatlabSizes;
  if (!sizes || !(sizes[name] >= 1)) return;
  if (name === "rank") range.max = Math.max(1, Math.min(MAX_RANK, sizes.d_in, sizes.d_out));
  if (document.activeElement !== range) range.value = placeOf(sizes[name]);
  range.ariaValueText = Number(sizes[name]).toLocaleString("en");
}
document.addEventListener("neatlab-sizes", follow);
follow();
