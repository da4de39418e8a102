// Pictures of the spectrogram, and the overview of the whole song.

import { colors, drawMissing } from "./roll.js";
import { FRAME_SECONDS, MEL_BINS } from "./take.js";

const TILE_FRAMES = 512;
const KEPT_TILES = 12;

// Colors from silence to loud: dark violet over red to pale yellow, as in the evaluation's pictures.
const STOPS = [
  [0, 0, 4], [20, 14, 54], [59, 15, 112], [100, 26, 128], [140, 41, 129], [183, 55, 121],
  [222, 73, 104], [247, 112, 92], [254, 159, 109], [254, 207, 146], [252, 253, 191],
];

// Most music lies in the upper half of the scale, which gets most of the colors.
const CONTRAST = 2;

const PALETTE = new Uint32Array(256);
for (let value = 0; value < 256; value++) {
  const place = (value / 255) ** CONTRAST * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const [red, green, blue] = STOPS[low].map(
    (channel, k) => Math.round(channel + (STOPS[low + 1][k] - channel) * (place - low)));
  PALETTE[value] = (255 << 24) | (blue << 16) | (green << 8) | red;
}

export class Spectrogram {
  constructor() {
    this.tiles = new Map(); // number of the tile to its picture, oldest use first
    this.owner = null;
  }

  draw(surface, view, take) {
    const state = `${view.key} ${take.id} ${take.revisions} ${take.frames} ${colors.text}`;
    if (!surface.stale(state)) return;
    const owner = `${take.id} ${take.revisions}`;
    if (owner !== this.owner) this.tiles.clear();
    this.owner = owner;
    const { context, height } = surface;
    const rendered = Math.min(take.frames * FRAME_SECONDS, take.seconds);
    if (!take.complete) drawMissing(surface, view, rendered, take.seconds);
    const tileSeconds = TILE_FRAMES * FRAME_SECONDS;
    const end = Math.min(view.start + view.seconds, rendered);
    context.imageSmoothingEnabled = true;
    context.save();
    context.beginPath();
    context.rect(0, 0, Math.max(0, view.x(rendered)), height);
    context.clip();
    for (let tile = Math.floor(view.start / tileSeconds); tile * tileSeconds < end; tile++) {
      const picture = this.tile(tile, take);
      const left = view.x(tile * tileSeconds);
      const right = view.x((tile + picture.frames / TILE_FRAMES) * tileSeconds);
      context.drawImage(picture.canvas, 0, 0, picture.frames, MEL_BINS, left, 0, right - left, height);
    }
    context.restore();
  }

  // A picture of 512 frames, of which those that have arrived are there.
  tile(number, take) {
    let picture = this.tiles.get(number);
    this.tiles.delete(number);
    picture ??= { canvas: new OffscreenCanvas(TILE_FRAMES, MEL_BINS), frames: 0 };
    this.tiles.set(number, picture);
    if (this.tiles.size > KEPT_TILES) this.tiles.delete(this.tiles.keys().next().value);
    const first = number * TILE_FRAMES;
    const frames = Math.min(TILE_FRAMES, take.frames - first);
    if (frames <= picture.frames) return picture;
    const image = new ImageData(frames - picture.frames, MEL_BINS);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = picture.frames; x < frames; x++) {
      const column = (first + x) * MEL_BINS;
      for (let bin = 0; bin < MEL_BINS; bin++) {
        pixels[(MEL_BINS - 1 - bin) * image.width + x - picture.frames] = PALETTE[take.mel[column + bin]];
      }
    }
    picture.canvas.getContext("2d").putImageData(image, picture.frames, 0);
    picture.frames = frames;
    return picture;
  }
}

// The whole song: all notes, how much is rendered, and the window that is shown.
export class Overview {
  constructor(element, seek) {
    this.element = element;
    this.notes = null;
    this.key = "";
    this.takeSeconds = 0;
    const seekAt = (event) => {
      const box = element.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * this.takeSeconds);
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      seekAt(event);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) seekAt(event);
    });
  }

  draw(surface, view, take, position) {
    this.takeSeconds = take.seconds;
    const { context, width, height } = surface;
    const pixels = (seconds) => (seconds / take.seconds) * width;
    const head = pixels(position);
    const state = `${view.key} ${take.id} ${take.revisions} ${take.samples} ${head.toFixed(1)} ${colors.text}`;
    if (!surface.stale(state)) return;
    const done = take.complete ? take.seconds : Math.min(take.renderedSeconds, take.seconds);
    const whole = { x: pixels };
    context.fillStyle = colors.card;
    context.fillRect(0, 0, pixels(done), height);
    drawMissing(surface, whole, done, take.seconds);
    context.drawImage(this.noteLayer(surface, take), 0, 0, width, height);
    if (take.seconds > view.seconds + 0.01) {
      context.strokeStyle = colors.muted;
      context.lineWidth = 1.5;
      context.beginPath();
      context.roundRect(pixels(view.start) + 0.75, 0.75, pixels(view.seconds) - 1.5, height - 1.5, 5);
      context.stroke();
    }
    context.fillStyle = colors.rows[1];
    context.fillRect(0, height - 3, pixels(done), 3);
    context.fillStyle = colors.text;
    context.fillRect(Math.min(Math.max(head - 1, 0), width - 2), 0, 2, height);
  }

  noteLayer({ canvas, width, height }, take) {
    const key = `${take.id} ${take.revisions} ${canvas.width} ${canvas.height} ${colors.text}`;
    if (key === this.key) return this.notes;
    this.key = key;
    this.notes = new OffscreenCanvas(Math.max(canvas.width, 1), Math.max(canvas.height, 1));
    const pen = this.notes.getContext("2d");
    pen.scale(canvas.width / width, canvas.height / height);
    const filled = take.rows.filter((row) => row.onset.length > 0);
    const lowest = Math.min(...filled.map((row) => row.lowest)) - 2;
    const highest = Math.max(...filled.map((row) => row.highest)) + 2;
    const step = (height - 6) / Math.max(highest - lowest, 12);
    take.rows.forEach((row, index) => {
      for (let k = 0; k < row.onset.length; k++) {
        pen.fillStyle = row.sounding[k] ? colors.rows[index % 8] : colors.muted;
        pen.globalAlpha = row.sounding[k] ? 0.8 : 0.25;
        const x = (row.onset[k] / take.seconds) * width;
        const length = Math.max(((row.offset[k] - row.onset[k]) / take.seconds) * width, 1);
        pen.fillRect(x, (highest - row.pitch[k]) * step, length, Math.max(1.5, Math.min(step, 3)));
      }
    });
    return this.notes;
  }
}
