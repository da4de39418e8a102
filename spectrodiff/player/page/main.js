// The page: opens songs, and draws what is heard.

import { api } from "./api.js";
import { Controls } from "./controls.js";
import { Keyboard, MidiIn } from "./keyboard.js";
import { announce, clockText, count, make, notices, setText, showKeys, typing } from "./messages.js";
import { Phrase } from "./phrase.js";
import { Playback, audioContext } from "./playback.js";
import { Surface, View, colors, drawAxis } from "./roll.js";
import { Rows } from "./rows.js";
import { Session } from "./session.js";
import { Overview, Spectrogram } from "./spectrogram.js";

const $ = (id) => document.getElementById(id);
const SEEK_SECONDS = 5;

class Page {
  constructor(setup) {
    this.setup = setup;
    this.playback = new Playback(() => this.changed());
    this.session = new Session(setup, this.playback, () => this.changed());
    this.controls = new Controls(this.session, this.playback);
    this.rows = new Rows($("rows"), this.session);
    this.phrase = new Phrase(this.session, this.playback);
    this.keyboard = new Keyboard(
      (pitch, velocity, time) => this.phrase.press(pitch, velocity, time),
      (pitch, time) => this.phrase.release(pitch, time));
    this.midi = new MidiIn(this.keyboard);
    this.view = new View();
    this.spectrogram = new Spectrogram();
    this.overview = new Overview($("overview"), (seconds) => this.seek(seconds));
    this.surfaces = { axis: new Surface($("axis")), spectrogram: new Surface($("spectrogram")), overview: new Surface($("overview")) };
    this.scheduled = false;
    this.lastFrame = 0;
    this.wasPlaying = false;
    this.shown = {};
    colors.read();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colors.read(); this.changed(); });
    Surface.onResize = () => this.changed();
    this.openers();
    this.keys();
    this.seekByClick();
  }

  changed() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame((time) => this.frame(time));
  }

  frame(time) {
    this.scheduled = false;
    const { session, playback } = this;
    const playing = playback.state !== "stopped";
    if (this.wasPlaying && !playing && session.heard && playback.atEnd()) session.ended();
    this.wasPlaying = playing;
    $("empty").hidden = session.song !== null;
    $("song").hidden = session.song === null;
    this.phrase.update();
    if (!session.heard) return;
    session.swap();
    this.show();
    this.draw(Math.min((time - this.lastFrame) / 1000, 0.1));
    this.lastFrame = time;
    if (playing) this.changed();
  }

  // Texts and controls; the costly ones only if something other than the position has changed.
  show() {
    const { session, playback } = this;
    const take = session.heard;
    setText($("clock"), clockText(playback.position));
    const [status, kind] = this.controls.status();
    setText($("status"), status);
    $("status").classList.toggle("urgent", ["waiting", "gone", "slow"].includes(kind));
    if (kind !== this.shown.kind && kind !== "rendering") announce(status);
    this.shown.kind = kind;
    const slider = $("overview");
    slider.ariaValueMax = take.seconds.toFixed(2);
    slider.ariaValueNow = playback.position.toFixed(2);
    slider.ariaValueText = `${clockText(playback.position)} of ${clockText(take.seconds)}, rendered up to ${clockText(take.renderedSeconds)}`;
    this.controls.update();
    this.rows.update(take);
    if (this.shown.song !== session.song || this.shown.revisions !== take.revisions || this.shown.take !== take) this.describe(take);
    Object.assign(this.shown, { song: session.song, take, revisions: take.revisions });
  }

  describe(take) {
    const { song } = this.session;
    const title = song.title.replace(/\.(midi?|kar|rmi|smf)$/i, "") || "Untitled";
    setText($("title"), title);
    document.title = `${title} · spectrodiff`;
    const notes = song.notes.row.length;
    setText($("facts"), [clockText(take.seconds), count(song.rows.length, "instrument"), count(notes, "note"), `model ${take.info.model}`].join(" · "));
    const lists = [["What this model changes", take.info.messages], ["In the file", song.remarks]];
    const blocks = lists.filter(([, items]) => items.length > 0).map(([title, items]) => {
      if (items.length < 6) return make("p", {}, make("b", { text: `${title}: ` }), items.join("; "), ".");
      const list = make("ul", {}, ...items.map((text) => make("li", { text })));
      return make("details", {}, make("summary", { text: `${title}: ${count(items.length, "remark")}` }), list);
    });
    const { notice } = take.owner.model;
    if (notice) blocks.unshift(make("p", { className: "warning-text", text: notice }));
    $("remarks").replaceChildren(...blocks);
    $("remarks").hidden = blocks.length === 0;
  }

  draw(passed) {
    const { view, surfaces, playback } = this;
    const take = this.session.heard;
    const position = playback.position;
    view.fit(surfaces.axis.width, take.seconds);
    view.follow(position, playback.state === "playing", passed);
    drawAxis(surfaces.axis, view, take.seconds);
    this.spectrogram.draw(surfaces.spectrogram, view, take);
    this.rows.draw(view, take);
    this.overview.draw(surfaces.overview, view, take, position);
    const x = $("axis").offsetLeft + view.x(position);
    $("playhead").style.transform = `translateX(${x.toFixed(2)}px)`;
    const missing = !take.complete && view.x(take.renderedSeconds) < view.width - 130;
    $("lane-note").hidden = !missing;
  }

  seek(seconds) {
    this.playback.seek(Math.min(Math.max(seconds, 0), this.session.heard.renderedSeconds));
    this.session.sought();
  }

  // Opens a song; `play` begins with its first part.
  async open(source, label) {
    document.body.classList.add("busy");
    if (label) announce(`${label} is being opened.`);
    const opened = await this.session.open(source);
    document.body.classList.remove("busy");
    if (opened) {
      this.view.start = 0;
      window.scrollTo({ top: 0 });
    }
  }

  openFile(file) {
    const most = this.setup.upload_bytes;
    if (file.size > most) {
      const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0).replace(/\.0$/, "")} MB`;
      notices.clear("open");
      notices.set("open", `${file.name} has ${megabytes(file.size)}. MIDI files of at most ${megabytes(most)} are opened.`, { error: true });
      return;
    }
    this.open(() => api.upload(file), file.name);
  }

  openers() {
    const { examples } = this.setup;
    $("file").addEventListener("change", (event) => {
      const [file] = event.target.files;
      if (file) this.openFile(file);
      event.target.value = "";
    });
    $("example").replaceChildren(make("option", { value: "", text: "Examples" }), ...examples.map(({ name, title }) => make("option", { value: name, text: title })));
    $("example").addEventListener("change", (event) => {
      const name = event.target.value;
      event.target.value = "";
      if (name) this.open(() => api.example(name), name);
    });
    $("example-box").hidden = $("empty-examples").hidden = examples.length === 0;
    $("empty-list").replaceChildren(...examples.map(({ name, title }) => {
      const button = make("button", { type: "button", text: title });
      button.addEventListener("click", () => this.open(() => api.example(name), title));
      return button;
    }));
    let depth = 0;
    const files = (event) => event.dataTransfer?.types.includes("Files");
    const over = (inside) => { $("drop").hidden = !inside; };
    addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; over(true); } });
    addEventListener("dragleave", (event) => { if (files(event)) over((depth = Math.max(0, depth - 1)) > 0); });
    addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      over((depth = 0) > 0);
      const [file] = event.dataTransfer.files;
      if (file) this.openFile(file);
    });
  }

  keys() {
    $("help").addEventListener("click", showKeys);
    const slider = $("overview");
    slider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -6, PageUp: 6, Home: -Infinity, End: Infinity };
      if (!(event.key in steps)) return;
      event.preventDefault();
      event.stopPropagation();
      this.seek(this.playback.position + SEEK_SECONDS * steps[event.key]);
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      // A gesture: the browser allows sound again.
      if (this.playback.state !== "stopped") audioContext();
      if (event.key === "?") return showKeys();
      if (!this.session.song) return;
      const widget = event.target.closest?.("button, summary, input");
      if (event.key === " " && !widget?.matches("button, summary, [type=radio], [type=checkbox]")) {
        event.preventDefault();
        if (!event.repeat) this.controls.toggle();
      } else if (event.key.toLowerCase() === "x" && !event.repeat) this.controls.switchSides();
      else if (event.key === "Home" && !widget?.matches("input")) this.seek(0);
      else if (event.key === "End" && !widget?.matches("input")) this.seek(Infinity);
      else if (event.key === "ArrowLeft" && !widget?.matches("input")) this.seek(this.playback.position - SEEK_SECONDS);
      else if (event.key === "ArrowRight" && !widget?.matches("input")) this.seek(this.playback.position + SEEK_SECONDS);
    });
    // After a click, space plays; after a key, it presses the same button again.
    document.addEventListener("click", (event) => {
      if (event.detail > 0) event.target.closest("#song button, .sides input")?.blur();
    });
    document.addEventListener("pointerdown", () => { if (this.playback.state !== "stopped") audioContext(); });
    addEventListener("pagehide", () => {
      for (const side of this.session.sides) side.take?.leave();
    });
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  seekByClick() {
    $("stage").addEventListener("click", (event) => {
      const lane = event.target.closest("[data-lane], .axis");
      if (lane) this.seek(this.view.at(event.clientX - lane.getBoundingClientRect().left));
    });
  }
}

// What tests and curious people look at.
function expose(page) {
  const { playback, session } = page;
  window.player = {
    position: () => playback.position,
    state: () => playback.state,
    renderedSeconds: () => session.heard?.renderedSeconds ?? 0,
    complete: () => session.heard?.complete ?? false,
    get firstSoundMilliseconds() { return playback.firstSoundMilliseconds; },
    // Time of the audio clock at which the sound of a position is scheduled.
    anchor: () => ({ clock: playback.anchor / 16000, position: playback.from / 16000 }),
    take: () => session.heard?.info ?? null,
    context: audioContext,
    window: () => ({ start: page.view.start, seconds: page.view.seconds }),
  };
}

async function begin() {
  let setup = null;
  while (setup === null) {
    try {
      setup = await api.setup();
    } catch (error) {
      notices.set("server", "The server does not answer. Start it with: spectrodiff play.", { error: true });
      await new Promise((done) => setTimeout(done, 2500));
    }
  }
  notices.clear("server");
  const page = new Page(setup);
  expose(page);
  // Asked for again, since the song has another id when the server was started again.
  if (setup.song) await page.open(async () => api.song((await api.setup()).song));
  page.changed();
}

begin();
