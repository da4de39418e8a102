// Sound: parts of a take are scheduled at exact samples of the audio clock, a few seconds ahead.

import { SAMPLE_RATE } from "./take.js";

const AHEAD_SECONDS = 3;
const LEAD_SECONDS = 0.06; // from now to the first scheduled sample
// Times of multiples of 125 frames are exact binary fractions (125 / 16000 = 1 / 128). Others are
// rounded, which delays a sample now and then.
const GRID_SAMPLES = 125;
const PIECE_SAMPLES = 64 * GRID_SAMPLES;
const LOOK_MILLISECONDS = 80;
// After a pause for lack of sound, so much is collected first: fewer, longer pauses.
const COLLECT_SECONDS = 2;
const FADE_SECONDS = 0.02;
const STALL_MILLISECONDS = 4000;

let context = null;

// The page's only audio context. Browsers let it run after a click or key.
export function audioContext() {
  if (!context || context.state === "closed") {
    context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
  }
  if (context.state !== "running") context.resume().catch(() => {});
  return context;
}

// A source that plays 16-bit samples from `frame` of the audio clock on.
export function schedule(samples, frame, output = context.destination) {
  const buffer = context.createBuffer(1, samples.length, SAMPLE_RATE);
  const channel = buffer.getChannelData(0);
  for (let k = 0; k < samples.length; k++) channel[k] = samples[k] / 32768;
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(output);
  source.start(frame / SAMPLE_RATE);
  return source;
}

function soonest() {
  const frame = (context.currentTime + LEAD_SECONDS) * SAMPLE_RATE;
  return Math.ceil(frame / GRID_SAMPLES) * GRID_SAMPLES;
}

function nowFrame() {
  return Math.round(context.currentTime * SAMPLE_RATE);
}

// State: "stopped", "playing", or "waiting" (for the model).
export class Playback {
  constructor(onChange) {
    this.onChange = onChange;
    this.take = null;
    this.state = "stopped";
    this.from = 0; // sample at which the anchor is
    this.anchor = 0; // frame of the audio clock at which `from` sounds
    this.cursor = 0; // next sample to schedule
    this.pieces = [];
    this.output = null; // faded out at the end of a stretch, so that it does not click
    this.continues = false; // the anchor lies ahead, and other sound sounds until then
    this.starved = false;
    this.clicked = null; // milliseconds, when play was asked for
    this.firstSoundMilliseconds = null;
    this.timer = null;
  }

  get position() {
    if (this.state !== "playing") return this.from / SAMPLE_RATE;
    const latency = context.outputLatency || context.baseLatency || 0;
    const heard = context.currentTime - latency - this.anchor / SAMPLE_RATE;
    const at = this.from / SAMPLE_RATE + (this.continues ? heard : Math.max(0, heard));
    return Math.max(0, Math.min(at, this.cursor / SAMPLE_RATE));
  }

  // Another take; `convert` gives the position in it of one in the old take. Goes over without
  // a gap if it plays.
  use(take, convert) {
    if (this.state !== "playing") {
      const position = convert(this.position);
      this.silence();
      this.take = take;
      this.from = Math.round(position * SAMPLE_RATE);
      if (this.state !== "stopped") this.begin();
      return this.onChange();
    }
    const frame = soonest();
    const from = Math.round(convert((this.from + frame - this.anchor) / SAMPLE_RATE) * SAMPLE_RATE);
    this.take = take;
    if (from >= take.samples) return this.wait(from);
    for (const { source } of this.pieces) source.stop(frame / SAMPLE_RATE);
    Object.assign(this, { pieces: [], from, cursor: from, anchor: frame, continues: true });
    this.look();
    return this.onChange();
  }

  play() {
    if (!this.take || this.state !== "stopped") return;
    audioContext();
    this.clicked = performance.now();
    this.firstSoundMilliseconds = null;
    if (this.atEnd()) this.from = 0;
    this.state = "waiting";
    this.timer = setInterval(() => this.look(), LOOK_MILLISECONDS);
    this.begin();
    this.onChange();
  }

  pause() {
    if (this.state === "stopped") return;
    this.from = Math.round(this.position * SAMPLE_RATE);
    this.silence();
    clearInterval(this.timer);
    this.state = "stopped";
    this.onChange();
  }

  seek(seconds) {
    if (!this.take) return;
    const last = this.take.samples;
    this.silence();
    this.from = Math.min(Math.max(0, Math.round(seconds * SAMPLE_RATE)), last);
    if (this.state !== "stopped") this.begin();
    this.onChange();
  }

  // Samples from `sample` on are not valid any more.
  drop(sample) {
    const position = Math.round(this.position * SAMPLE_RATE);
    const cut = sample - ((((sample - this.from) % GRID_SAMPLES) + GRID_SAMPLES) % GRID_SAMPLES);
    for (const piece of this.pieces) {
      if (piece.end <= cut) continue;
      if (piece.first >= cut) piece.source.stop();
      else piece.source.stop((this.anchor + cut - this.from) / SAMPLE_RATE);
    }
    this.pieces = this.pieces.filter((piece) => piece.first < cut);
    this.cursor = Math.min(this.cursor, Math.max(cut, this.from));
    if (this.state !== "playing") this.from = Math.min(this.from, sample);
    else if (position >= sample) this.wait(position);
    this.look();
  }

  // Parts arrived.
  look() {
    if (this.state === "stopped" || !this.take) return;
    if (this.state === "waiting") return this.begin();
    if (this.stalled()) return this.recover();
    const limit = nowFrame() - this.anchor + this.from + AHEAD_SECONDS * SAMPLE_RATE;
    while (this.cursor < this.take.samples && this.cursor < limit) {
      const left = this.take.samples - this.cursor;
      let size = Math.min(PIECE_SAMPLES, left);
      if (!this.take.complete || size < left) size -= size % GRID_SAMPLES;
      if (size === 0) break;
      const end = this.cursor + size;
      const frame = this.anchor + this.cursor - this.from;
      // Late, after the page was held up: what is past cannot be played.
      if (frame < nowFrame()) return this.wait(this.cursor);
      const source = schedule(this.take.audio.subarray(this.cursor, end), frame, this.output);
      this.pieces.push({ first: this.cursor, end, source });
      this.cursor = end;
    }
    const past = nowFrame() - this.anchor + this.from - SAMPLE_RATE;
    while (this.pieces.length && this.pieces[0].end < past) this.pieces.shift();
    const played = this.position * SAMPLE_RATE >= this.cursor - 1;
    if (!played) return;
    if (this.take.complete && this.cursor >= this.take.samples) this.end();
    else this.wait(this.cursor);
  }

  atEnd() {
    return this.take.complete && this.from >= this.take.samples - 1;
  }

  // Starts at `from` if there is sound enough.
  begin() {
    const { take } = this;
    const collected = take.samples - this.from;
    const enough = this.starved ? COLLECT_SECONDS * SAMPLE_RATE : GRID_SAMPLES;
    if (collected < enough && !(take.complete && collected > 0)) {
      if (take.complete) return this.end();
      if (this.state !== "waiting") this.state = "waiting";
      return undefined;
    }
    this.starved = false;
    this.cursor = this.from;
    this.continues = false;
    audioContext();
    this.anchor = soonest();
    if (this.clicked !== null) {
      const ahead = (this.anchor / SAMPLE_RATE - context.currentTime) * 1000;
      this.firstSoundMilliseconds = performance.now() - this.clicked + ahead;
      this.clicked = null;
    }
    this.output = new GainNode(context);
    this.output.connect(context.destination);
    this.clockMoved = performance.now();
    this.state = "playing";
    this.look();
    return this.onChange();
  }

  wait(sample) {
    this.silence();
    this.from = sample;
    this.state = "waiting";
    this.starved = true;
    this.onChange();
  }

  end() {
    this.silence();
    clearInterval(this.timer);
    this.from = this.take.samples;
    this.state = "stopped";
    this.onChange();
  }

  silence() {
    if (context && this.output) {
      this.output.gain.setTargetAtTime(0, context.currentTime, FADE_SECONDS / 5);
      for (const { source } of this.pieces) source.stop(context.currentTime + FADE_SECONDS);
    }
    Object.assign(this, { pieces: [], output: null, continues: false, starved: false });
  }

  // True if the audio clock stands still though it should run, as after the loss of a device.
  stalled() {
    const held = context.state !== "running" && context.state !== "closed";
    if (held) audioContext();
    const moved = held || context.currentTime !== this.clock;
    if (moved) this.clockMoved = performance.now();
    this.clock = context.currentTime;
    return context.state === "closed" || performance.now() - this.clockMoved > STALL_MILLISECONDS;
  }

  recover() {
    const at = Math.round(this.position * SAMPLE_RATE);
    this.silence();
    context.close().catch(() => {});
    context = null;
    this.clockMoved = performance.now();
    this.from = at;
    this.begin();
  }
}
