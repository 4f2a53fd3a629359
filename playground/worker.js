// The training, away from the page. It does nothing by itself: each message is answered by one frame.
import { rowsOf } from "./matrix.js";
import { effectiveRank } from "./spectrum.js";
import { makeTeacher } from "./teacher.js";
import { makeArm } from "./training.js";
import { randomStream, shuffledBatches } from "./random.js";

const [BATCH, STREAMS] = [128, { batches: 5, lora: 6, neat: 7 }];
let lab = null;
let [known, teacher] = ["", null]; // the last task: most settings change only the arms

function taskOf(task) {
  const name = JSON.stringify(task);
  if (name !== known) [known, teacher] = [name, makeTeacher(task)];
  return teacher;
}

function start({ id, task, arms }) {
  const { weight, delta, spectrum } = taskOf(task);
  const stream = (name) => randomStream(task.seed, STREAMS[name]);
  lab = {
    id,
    step: 0,
    next: shuffledBatches(task.examples, BATCH, stream("batches")),
    arms: Object.entries(arms).map(([name, options]) => [name, makeArm(name, options, weight, stream(name))]),
  };
  return { ...frame(), task: { weight: single(weight), delta: single(delta), spectrum: spectrumOf(spectrum), effectiveRank: effectiveRank(spectrum.sigma) } };
}

// As many steps as are asked for and as fit into the time (milliseconds), and one at least; none while examples are drawn.
function advance({ steps, time }) {
  const end = performance.now() + time;
  const data = teacher.draw(end);
  if (!data) return frame();
  const isGoing = () => lab.arms.some(([, arm]) => !arm.isStopped());
  for (let done = 0; done < steps && isGoing() && (done === 0 || performance.now() < end); done++) {
    const rows = lab.next();
    lab.step += 1;
    const batch = { x: rowsOf(data.x, rows), change: rowsOf(data.change, rows) };
    for (const [, arm] of lab.arms) arm.step(batch, lab.step);
  }
  return frame();
}

function frame() {
  const arms = lab.arms.map(([name, arm]) => [name, shown(arm.look(teacher.delta), arm.count)]);
  return { id: lab.id, step: lab.step, arms: Object.fromEntries(arms) };
}

const single = ({ rows, columns, values }) => ({ rows, columns, values: Float32Array.from(values) });
const spectrumOf = ({ sigma, u, v }) => ({ sigma, u: single(u), v: single(v) });
const shown = ({ delta, hidden, spectrum, ...numbers }, count) => ({
  ...numbers,
  count,
  delta: single(delta),
  hidden: { side: hidden.side, matrix: single(hidden.matrix) },
  spectrum: spectrumOf(spectrum),
});

// The arrays in an answer, which are handed over without a copy.
function buffersOf(part) {
  if (part instanceof Float32Array) return [part.buffer];
  return part !== null && typeof part === "object" ? Object.values(part).flatMap(buffersOf) : [];
}

const ANSWERS = { start, advance };
self.onmessage = ({ data }) => {
  if (data.type === "advance" && data.id !== lab?.id) return;
  const answer = ANSWERS[data.type](data);
  self.postMessage(answer, buffersOf(answer));
};
