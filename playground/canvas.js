// Canvases that are as sharp as the screen, and the colours of the theme.

let colours = {};
const NAMES = ["text", "quiet", "line", "ground", "card", "lora", "neat", "truth", "positive", "negative"];

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export const colour = (name) => colours[name];

export const rgb = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));

// The canvas's context in CSS pixels, cleared, with its size. Its box is the style sheet's.
export function cleared(canvas) {
  const [scale, width, height] = [window.devicePixelRatio || 1, canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif";
  context.lineJoin = "round";
  return { context, width, height };
}

// An arm's marker, as the lab's figures have it.
export function drawMarker(context, marker, x, y, size) {
  context.beginPath();
  if (marker === "square") context.rect(x - size * 0.88, y - size * 0.88, size * 1.76, size * 1.76);
  else context.arc(x, y, size, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}

// At most `count` round numbers from 0 to `top`.
export function roundTicks(top, count) {
  const raw = top / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999);
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

// Axes of a chart: lines and numbers; returns what turns values into pixels.
export function drawAxes({ context, width, height }, { x, y, xName, yText = String, left = 38, bottom = 30 }) {
  const box = { left, right: width - 10, top: 8, bottom: height - bottom };
  const toX = (value) => box.left + ((value - x.from) / (x.to - x.from)) * (box.right - box.left);
  const toY = (value) => box.bottom - ((value - y.from) / (y.to - y.from)) * (box.bottom - box.top);
  context.lineWidth = 1;
  context.strokeStyle = colour("line");
  context.fillStyle = colour("quiet");
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const tick of y.ticks) {
    const place = Math.round(toY(tick)) + 0.5;
    line(context, box.left, place, box.right, place);
    context.fillText(yText(tick), box.left - 5, place);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const tick of x.ticks) context.fillText(tick.toLocaleString("en"), Math.min(toX(tick), width - 14), box.bottom + 4);
  context.textAlign = "right";
  context.fillText(xName, box.right, box.bottom + 17);
  return { toX, toY, box };
}

export function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
