// The layer that the fields describe; null before they are filled.
function layerShapes() {
  if (!window.neatlabSizes) return null;
  const { table, d_in, d_out, rank, depth, orientation, activation } = window.neatlabSizes;
  const within = (size, top) => Math.min(top, Math.max(1, Math.floor(Number(size)) || 1));
  const shape = [within(d_out, table.sides), within(d_in, table.sides)];
  const form = { orientation, rank: within(rank, Math.min(...shape)), depth: within(depth, table.depths) };
  const arms = ["lora", "neat"].map((name) => weightsSketch(table.methods[name], form, shape));
  const curve = table.curves[activation];
  const numbers = () => randomLayer(shape, arms, curve);
  return { sketch: true, known: true, words: counted(arms, shape), shape, arms, activation, numbers };
}

function counted(arms, [m, n]) {
  const size = ({ kind, rank, depth }) => (kind === "product" ? rank * (m + n) : 2 * rank * (kind === "out" ? m : n) + (depth - 2) * rank * rank);
  const [lora, neat] = arms.map((arm) => size(arm).toLocaleString("en"));
  return `Drawn at random. LoRA trains ${lora} numbers, NEAT ${neat}, for the ${(m * n).toLocaleString("en")} of ΔW.`;
}

painters.shapes = weightsPanel(layerShapes, "neatlab-sizes");
