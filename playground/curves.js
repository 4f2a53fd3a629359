// The course of error and loss, and the numbers that they end with.
import { cleared, colour, drawAxes, drawMarker, roundTicks } from "./canvas.js";
import { LOOKS } from "./looks.js";
import { byId } from "./words.js";

const MAX_POINTS = 600;

// What was seen of each frame: {step, lora: {error, loss}, neat: {error, loss}}; when it gets long every second goes.
export function makeHistory() {
  let [points, stride, count, isPassing] = [[], 1, 0, false];
  return {
    points: () => points,
    add({ step, arms }) {
      const point = { step };
      for (const [arm, { error, loss, stopped }] of Object.entries(arms)) point[arm] = stopped ? { error: NaN, loss: NaN } : { error, loss };
      if (isPassing) points.pop(); // the newest is always there, and stays where its turn it is
      points.push(point);
      isPassing = count++ % stride !== 0;
      if (points.length <= MAX_POINTS) return;
      points = points.filter((_, i) => i % 2 === 0);
      stride *= 2;
    },
  };
}

const finite = (values) => values.filter((value) => Number.isFinite(value));
const valuesOf = (points, key) => points.flatMap((point) => Object.keys(LOOKS).map((arm) => point[arm][key]));

function drawCourse(canvas, points, key, y, toValue = (value) => value) {
  const area = cleared(canvas);
  const last = Math.max(points.at(-1)?.step ?? 0, 10);
  const x = { from: 0, to: last, ticks: roundTicks(last, 4) };
  const { toX, toY } = drawAxes(area, { x, y, xName: "training step", yText: y.text });
  for (const [arm, { marker }] of Object.entries(LOOKS)) {
    const place = (point) => [toX(point.step), toY(toValue(point[arm][key]))];
    const seen = points.filter((point) => Number.isFinite(point[arm][key]) && Number.isFinite(toValue(point[arm][key])));
    drawLine(area.context, seen.map(place), colour(arm));
    area.context.fillStyle = colour(arm);
    area.context.strokeStyle = colour("card");
    if (seen.length) drawMarker(area.context, marker, ...place(seen.at(-1)), 5);
  }
}

function drawLine(context, places, stroke) {
  context.strokeStyle = stroke;
  context.lineWidth = 2;
  context.beginPath();
  for (const [x, y] of places) context.lineTo(x, y);
  context.stroke();
}

export function drawCurves(history) {
  const points = history.points();
  const top = Math.min(Math.max(1.05, ...finite(valuesOf(points, "error")).map((error) => error * 1.05)), 4);
  drawCourse(byId("error-curve"), points, "error", { from: 0, to: top, ticks: roundTicks(top, 4) }, (error) => Math.min(error, top));
  const logs = finite(valuesOf(points, "loss").map((loss) => (loss === null ? NaN : Math.log10(loss))));
  const [low, high] = logs.length ? [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))] : [-2, 0];
  const y = { from: low, to: Math.max(high, low + 1), ticks: decades(low, Math.max(high, low + 1)), text: (power) => powerText(power) };
  drawCourse(byId("loss-curve"), points, "loss", y, (loss) => (loss === null ? NaN : Math.log10(loss)));
}

function decades(low, high) {
  const stride = Math.ceil((high - low) / 4);
  return Array.from({ length: Math.floor((high - low) / stride) + 1 }, (_, i) => low + i * stride);
}

const powerText = (power) => (Math.abs(power) <= 3 ? String(Number((10 ** power).toPrecision(1))) : `1e${power}`);
