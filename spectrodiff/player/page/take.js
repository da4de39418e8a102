// A take: one rendering of a song, with the sound and spectrogram that have arrived so far.

import { api } from "./api.js";

export const SAMPLE_RATE = 16000;
export const FRAME_SECONDS = 0.02;
export const MEL_BINS = 128;

// First index of a sorted array whose value is at least `value`.
export function lowerBound(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Notes of one row, sorted by onset, so that those of a window are found by binary search.
function rowNotes(notes, rowOf, velocity, row, count) {
  const result = {
    onset: new Float64Array(count), offset: new Float64Array(count), pitch: new Uint8Array(count),
    velocity: new Uint8Array(count), sounding: new Uint8Array(count), lastOffset: new Float64Array(count),
    lowest: 127, highest: 0, audible: 0, // audible: how many sound
  };
  let at = 0;
  let last = 0;
  for (let k = 0; k < rowOf.length; k++) {
    if (rowOf[k] !== row) continue;
    const pitch = notes.pitch[k];
    last = Math.max(last, notes.offset[k]);
    result.onset[at] = notes.onset[k];
    result.offset[at] = notes.offset[k];
    result.pitch[at] = pitch;
    result.velocity[at] = velocity[k];
    result.sounding[at] = notes.sounding[k];
    result.audible += notes.sounding[k];
    result.lastOffset[at] = last; // of this note and all before: sorted, unlike the offsets
    result.lowest = Math.min(result.lowest, pitch);
    result.highest = Math.max(result.highest, pitch);
    at += 1;
  }
  return result;
}

export class Take {
  // song: as the server gave it; take: its answer; applied: what it was made with.
  constructor(song, take, applied) {
    this.song = song;
    this.audio = new Int16Array(0);
    this.mel = new Uint8Array(0);
    this.samples = 0; // that have arrived, from the beginning without a gap
    this.frames = 0;
    this.nextSegment = 0;
    this.complete = false;
    this.speeds = []; // seconds of sound per second of computing, of the last parts
    this.lastComputeSeconds = 0;
    this.stream = null;
    this.revisions = 0; // counts what invalidates drawings
    this.update(take, applied);
  }

  get id() { return this.info.id; }
  get seconds() { return this.info.seconds; }
  get renderedSeconds() { return this.samples / SAMPLE_RATE; }
  get streaming() { return this.stream !== null; }

  // Seconds of sound rendered per second of computing; null if not known.
  get speed() {
    if (this.speeds.length < 2) return null;
    return [...this.speeds].sort((a, b) => a - b)[this.speeds.length >> 1];
  }

  update(info, applied) {
    this.info = info;
    this.applied = applied;
    this.revisions += 1;
    const { row, velocity } = this.song.notes;
    this.rows = this.song.rows.map(
      (each, index) => rowNotes(info.notes, row, velocity, index, each.notes));
    this.audio = resized(this.audio, Math.ceil(info.seconds * SAMPLE_RATE), this.samples);
    this.mel = resized(this.mel, Math.ceil(info.seconds / FRAME_SECONDS) * MEL_BINS, this.frames * MEL_BINS);
  }

  // Other settings from `segment` on. Returns the number of samples that stay valid.
  async steer(segment, settings, steering) {
    this.stop();
    const info = await api.steer(this.id, segment, settings, steering);
    this.samples = Math.min(this.samples, info.kept_samples);
    this.frames = Math.min(this.frames, info.kept_frames);
    this.nextSegment = Math.min(this.nextSegment, segment);
    this.complete = false;
    this.speeds = [];
    this.update(info, { settings, steering });
    return this.samples;
  }

  // Reads parts until the end, `stop` or an error; `onPart` is called after each.
  async read(onPart) {
    if (this.stream || this.complete) return;
    const stream = new AbortController();
    this.stream = stream;
    try {
      for await (const part of api.parts(this.id, this.info.revision, this.nextSegment, stream.signal)) {
        if (this.stream !== stream) return;
        this.add(part);
        onPart(this);
      }
    } finally {
      if (this.stream === stream) this.stream = null;
    }
  }

  stop() {
    const { stream } = this;
    this.stream = null;
    stream?.abort();
  }

  add(part) {
    const { first_sample: first, first_frame: firstFrame } = part;
    this.audio = resized(this.audio, first + part.samples, this.samples);
    this.mel = resized(this.mel, (firstFrame + part.frames) * MEL_BINS, this.frames * MEL_BINS);
    this.audio.set(part.audio, first);
    this.mel.set(part.mel, firstFrame * MEL_BINS);
    this.samples = first + part.samples;
    this.frames = firstFrame + part.frames;
    this.nextSegment = part.segment + 1;
    this.complete = part.last;
    this.lastComputeSeconds = part.compute_seconds;
    if (part.compute_seconds > 0.001 && part.samples > 0) {
      this.speeds.push(this.info.segment_seconds / part.compute_seconds);
      if (this.speeds.length > 5) this.speeds.shift();
    }
  }

  // The first segment that begins `margin` seconds after `position` or later.
  segmentAfter(position, margin) {
    return Math.ceil((position + margin) / this.info.segment_seconds - 1e-6);
  }

  leave() {
    this.stop();
    api.forget("takes", this.id);
  }
}

function resized(array, length, used) {
  if (array.length >= length) return array;
  // A little more than asked for, since the last part may be longer than announced.
  const larger = new array.constructor(length + (length >> 4) + SAMPLE_RATE);
  larger.set(array.subarray(0, used));
  return larger;
}

// The position in `to` of what is at `position` in `from`; tempo may differ between two takes.
export function samePlace(position, from, to) {
  if (!from || from === to) return position;
  const a = from.info.notes.onset;
  const b = to.info.notes.onset;
  const next = lowerBound(a, position);
  const [a0, b0] = next === 0 ? [0, 0] : [a[next - 1], b[next - 1]];
  const [a1, b1] = next === a.length ? [from.seconds, to.seconds] : [a[next], b[next]];
  const share = a1 > a0 ? (position - a0) / (a1 - a0) : 0;
  return Math.min(Math.max(b0 + share * (b1 - b0), 0), to.seconds);
}
