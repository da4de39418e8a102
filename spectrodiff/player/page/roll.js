// The time window that is shown, the time axis, and the notes of the rows.

import { clockText } from "./messages.js";
import { lowerBound } from "./take.js";

const WIDE_SECONDS = 20;
const NARROW_SECONDS = 8;
const NARROW_PIXELS = 560;
const FOLLOW_SHARE = 0.35; // where the playhead rests while the window moves
const MOVES_PER_SECOND = 2;
const LEAST_SEMITONES = 16;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// Colors of the style sheet, read again when light turns dark.
export const colors = {
  read() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["page", "card", "text", "muted", "line", "tint", "hatch"]) {
      this[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.rows = Array.from({ length: 8 }, (_, k) => style.getPropertyValue(`--row-${k}`).trim());
  },
};

// A canvas as sharp as the screen; `context` is scaled to CSS pixels.
export class Surface {
  constructor(element) {
    this.canvas = element.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.width = this.height = 0;
    this.drawn = "";
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(element);
    this.element = element;
    this.measure();
  }

  measure() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawn = "";
    Surface.onResize();
  }

  // True if it has to be drawn again, since `state` is not that of the last drawing.
  stale(state) {
    if (this.drawn === state || this.width === 0) return false;
    this.drawn = state;
    this.context.clearRect(0, 0, this.width, this.height);
    return true;
  }

  static onResize = () => {};
}

export class View {
  constructor() {
    this.start = 0;
    this.seconds = WIDE_SECONDS;
    this.width = 1;
  }

  fit(width, total) {
    this.width = width;
    const most = width < NARROW_PIXELS ? NARROW_SECONDS : WIDE_SECONDS;
    this.seconds = Math.min(most, Math.max(total, 2));
    this.last = Math.max(0, total - this.seconds);
    this.start = Math.min(this.start, this.last);
  }

  // Keeps the playhead in sight. Moves smoothly, or by pages if motion is not wanted.
  follow(position, playing, passed) {
    const inside = position >= this.start && position <= this.start + this.seconds;
    const target = position - FOLLOW_SHARE * this.seconds;
    if (calm.matches || !playing) {
      if (!inside) this.start = position - 0.05 * this.seconds;
    } else if (!inside) this.start = target;
    else if (target > this.start) this.start += (target - this.start) * Math.min(1, passed * MOVES_PER_SECOND);
    this.start = Math.min(Math.max(0, this.start), this.last);
  }

  x(seconds) { return ((seconds - this.start) / this.seconds) * this.width; }
  at(x) { return this.start + (x / this.width) * this.seconds; }
  get key() { return `${this.start.toFixed(4)} ${this.seconds} ${this.width}`; }
}

export function drawAxis(surface, view, total) {
  if (!surface.stale(`${view.key} ${total} ${colors.text}`)) return;
  const { context } = surface;
  const step = view.width / view.seconds > 60 ? 1 : 2;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (let second = Math.floor(view.start); second <= Math.min(total, view.start + view.seconds); second++) {
    const x = Math.round(view.x(second)) + 0.5;
    const labelled = second % step === 0;
    context.fillStyle = labelled ? colors.muted : colors.line;
    context.fillRect(x - 0.5, surface.height - (labelled ? 7 : 4), 1, labelled ? 7 : 4);
    if (!labelled) continue;
    const text = clockText(second);
    const width = context.measureText(text).width;
    // The first label is moved to fit in; others that do not fit come in sight later.
    const left = second === 0 ? Math.max(x - width / 2, view.start > 0 ? -width : 0) : x - width / 2;
    if (left >= 0 && left + width <= surface.width) context.fillText(text, left, 8);
  }
}

let hatch = null;

// Marks what is not rendered yet.
export function drawMissing(surface, view, from, to) {
  const left = Math.max(0, view.x(from));
  const right = Math.min(surface.width, view.x(to));
  if (right <= left) return;
  if (hatch?.color !== colors.hatch) {
    const tile = new OffscreenCanvas(8, 8);
    const pen = tile.getContext("2d");
    pen.strokeStyle = colors.hatch;
    pen.lineWidth = 1.2;
    pen.beginPath();
    for (const shift of [-8, 0, 8]) {
      pen.moveTo(shift - 1, 9);
      pen.lineTo(shift + 9, -1);
    }
    pen.stroke();
    hatch = { color: colors.hatch, pattern: surface.context.createPattern(tile, "repeat") };
  }
  const { context } = surface;
  context.save();
  context.translate(view.x(0) % 8, 0);
  context.fillStyle = hatch.pattern;
  context.fillRect(left - (view.x(0) % 8), 0, right - left, surface.height);
  context.restore();
}

export function drawRow(surface, view, take, row, color) {
  const rendered = take.renderedSeconds;
  const state = `${view.key} ${take.id} ${take.revisions} ${rendered} ${color} ${colors.text}`;
  if (!surface.stale(state)) return;
  const { context, height } = surface;
  const notes = take.rows[row];
  const missing = take.complete ? take.seconds : rendered;
  drawMissing(surface, view, missing, take.seconds);
  const span = Math.max(notes.highest - notes.lowest + 3, LEAST_SEMITONES);
  const middle = (notes.highest + notes.lowest) / 2;
  const step = height / span;
  const thick = Math.min(Math.max(step * 0.86, 2), 7);
  const end = view.start + view.seconds;
  const scale = view.width / view.seconds;
  for (let k = lowerBound(notes.lastOffset, view.start); k < notes.onset.length; k++) {
    const onset = notes.onset[k];
    if (onset > end) break;
    const offset = notes.offset[k];
    if (offset < view.start) continue;
    const sounds = notes.sounding[k];
    context.fillStyle = sounds ? color : colors.muted;
    const strength = 0.55 + 0.45 * Math.min(1, notes.velocity[k] / 110);
    context.globalAlpha = sounds ? strength * (onset < missing ? 1 : 0.45) : 0.3;
    const x = (onset - view.start) * scale;
    const width = Math.max((offset - onset) * scale - 1, 2);
    const y = height / 2 - (notes.pitch[k] - middle) * step - thick / 2;
    context.fillRect(x, y, width, thick);
  }
  context.globalAlpha = 1;
}
