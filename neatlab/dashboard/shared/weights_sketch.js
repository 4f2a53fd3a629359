// An arm's matrices before anything is trained: a method's row and the form's settings give their shapes.
const weightsSketch = ({ kind, title, colour, labels }, { orientation, rank, depth }, [m, n]) => {
  const over = orientation === "auto" ? m <= n : orientation !== "in";
  const within = (size, least, most) => Math.min(most, Math.max(least, Math.floor(Number(size)) || least));
  const turned = kind === "network" && !over;
  return {
    name: title,
    colour,
    kind: kind === "network" ? (over ? "out" : "in") : kind,
    labels: turned ? [labels[1], labels[0].replace(/ᵀ$/, "")] : labels,
    rank: within(rank, 1, kind === "product" ? 4096 : Math.min(m, n)),
    depth: within(depth, 2, 64),
  };
};
