// What is played on the keyboard: recorded as a phrase, or rendered live.

import { api } from "./api.js";
import { count, make, setText, notices } from "./messages.js";
import { audioContext, schedule } from "./playback.js";
import { SAMPLE_RATE } from "./take.js";

const $ = (id) => document.getElementById(id);
const SILENCE_MILLISECONDS = 2000;
const SHORTEST_SECONDS = 0.03;
const LIVE_LEAD_SECONDS = 0.05;

// A soft tone per held key, so that one hears where one is before the model answers.
class GuideTone {
  constructor() {
    this.tones = new Map();
  }

  press(pitch, velocity) {
    const context = audioContext();
    const tone = new OscillatorNode(context, { type: "triangle", frequency: 440 * 2 ** ((pitch - 69) / 12) });
    const volume = new GainNode(context, { gain: 0 });
    volume.gain.setTargetAtTime(0.02 + 0.08 * (velocity / 127), context.currentTime, 0.008);
    tone.connect(volume).connect(context.destination);
    tone.start();
    this.tones.set(pitch, { tone, volume });
  }

  release(pitch) {
    const sounding = this.tones.get(pitch);
    if (!sounding) return;
    this.tones.delete(pitch);
    const now = audioContext().currentTime;
    sounding.volume.gain.setTargetAtTime(0, now, 0.04);
    sounding.tone.stop(now + 0.4);
  }
}

export class Phrase {
  constructor(session, playback) {
    this.session = session;
    this.playback = playback;
    this.guide = new GuideTone();
    this.recording = null; // {began, notes, held}
    this.live = null;
    this.silence = null;
    this.model = null;
    $("record").addEventListener("click", () => (this.recording ? this.finish() : this.record()));
    $("live").addEventListener("click", () => (this.live ? this.stopLive() : this.startLive()));
    $("key-program").addEventListener("change", () => this.steerLive());
    session.endLive = () => this.stopLive();
    this.update();
  }

  get program() { return Number($("key-program").value); }

  // The instruments of the chosen model.
  update() {
    const { model } = this.session.sides[this.session.chosen];
    if (model === this.model) return;
    this.model = model;
    const before = $("key-program").value;
    $("key-program").replaceChildren(
      ...model.programs.map(({ program, name }) => make("option", { value: program, text: name })));
    if (model.programs.some(({ program }) => String(program) === before)) $("key-program").value = before;
    this.say();
  }

  say(text = "") {
    setText($("keyboard-status"), text || "Press Record and play a phrase. It ends by itself after 2 s of silence, and is then played in the model's sound.");
  }

  press(pitch, velocity, time) {
    if (this.live) this.sendLive(pitch, velocity, time);
    else if ($("guide").checked) this.guide.press(pitch, velocity);
    const { recording } = this;
    if (!recording) return;
    clearTimeout(this.silence);
    recording.began ??= time;
    recording.held.set(pitch, { onset: this.elapsed(time), velocity });
    this.say(`Recording: ${count(recording.notes.length + recording.held.size, "note")}.`);
  }

  release(pitch, time) {
    if (this.live) this.sendLive(pitch, 0, time);
    this.guide.release(pitch);
    const { recording } = this;
    const note = recording?.held.get(pitch);
    if (!note) return;
    recording.held.delete(pitch);
    recording.notes.push([note.onset, Math.max(this.elapsed(time), note.onset + SHORTEST_SECONDS), pitch, note.velocity]);
    if (recording.held.size === 0) this.silence = setTimeout(() => this.finish(), SILENCE_MILLISECONDS);
  }

  elapsed(time) { return (time - this.recording.began) / 1000; }

  record() {
    this.stopLive();
    this.playback.pause();
    audioContext();
    this.recording = { began: null, notes: [], held: new Map() };
    $("record").ariaPressed = "true";
    setText($("record").querySelector("span"), "Stop");
    this.say("Recording: it begins with the first note.");
  }

  async finish() {
    clearTimeout(this.silence);
    for (const pitch of [...this.recording.held.keys()]) this.release(pitch, performance.now());
    clearTimeout(this.silence);
    const { notes } = this.recording;
    this.dropRecording();
    if (notes.length === 0) {
      this.say("Nothing was played.");
      return;
    }
    notes.sort((a, b) => a[0] - b[0]);
    this.say(`${count(notes.length, "note")} recorded. The model plays them now.`);
    const { program } = this;
    if (await this.session.open(() => api.phrase(notes, program))) this.playback.play();
    else this.say(`${count(notes.length, "note")} recorded, but not rendered.`);
  }

  dropRecording() {
    clearTimeout(this.silence);
    for (const pitch of this.recording.held.keys()) this.guide.release(pitch);
    this.recording = null;
    $("record").ariaPressed = "false";
    setText($("record").querySelector("span"), "Record");
  }

  // One hears oneself later: the model renders whole segments.
  async startLive() {
    if (this.recording) this.dropRecording();
    this.playback.pause();
    audioContext();
    $("live").ariaPressed = "true";
    const side = this.session.sides[this.session.chosen];
    const live = { id: null, stop: new AbortController(), began: 0, next: 0, events: [], sending: false, sources: [] };
    this.live = live;
    this.session.rest(true);
    try {
      const opened = await api.live(side.model.name, side.settings, this.program);
      live.id = opened.id;
      if (this.live !== live) {
        api.forget("live", opened.id);
        return;
      }
      setText($("live").querySelector("span"), "Stop live");
      const segment = opened.segment_seconds.toFixed(2).replace(/0$/, "");
      this.say(`Play: you hear yourself ${opened.latency_seconds.toFixed(1)} s later. The model has to hear ${segment} s before it can render them.`);
      live.began = performance.now();
      for await (const part of api.liveParts(opened.id, live.stop.signal)) this.hear(live, part);
      if (this.live === live) this.stopLive("The live session has ended.");
    } catch (error) {
      if (this.live !== live || error.name === "AbortError") return;
      this.stopLive();
      this.session.report("live", error);
    }
  }

  hear(live, part) {
    if (part.samples === 0) return;
    const soonest = Math.ceil((audioContext().currentTime + LIVE_LEAD_SECONDS) * SAMPLE_RATE);
    // Late: goes on as soon as possible.
    live.next = Math.max(live.next, soonest);
    live.sources.push(schedule(part.audio, live.next));
    if (live.sources.length > 4) live.sources.shift();
    live.next += part.samples;
  }

  sendLive(pitch, velocity, time) {
    const { live } = this;
    if (!live.began) return;
    live.events.push([Math.max(0, time - live.began) / 1000, pitch, velocity]);
    this.flush(live);
  }

  // One request at a time, so that events stay in order.
  async flush(live) {
    if (live.sending) return;
    live.sending = true;
    try {
      while (live.events.length && this.live === live) await api.liveEvents(live.id, live.events.splice(0));
    } catch (error) {
      if (this.live === live) {
        this.stopLive();
        this.session.report("live", error);
      }
    }
    live.sending = false;
  }

  steerLive() {
    const { live } = this;
    if (!live?.id) return;
    const side = this.session.sides[this.session.chosen];
    api.liveSteer(live.id, this.program, 0, side.settings).catch((error) => this.session.report("live", error));
  }

  stopLive(text = "") {
    const { live } = this;
    if (!live) return;
    this.live = null;
    this.session.rest(false);
    live.stop.abort();
    for (const source of live.sources) source.stop();
    if (live.id) api.forget("live", live.id);
    $("live").ariaPressed = "false";
    setText($("live").querySelector("span"), "Live");
    notices.clear("live");
    this.say(text);
  }
}
