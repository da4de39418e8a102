// Keys that are played: the piano on the page, the computer's keys, and MIDI keyboards.

import { make, setText, typing } from "./messages.js";

const $ = (id) => document.getElementById(id);

// Places of the keys of a computer keyboard, from C on.
const CODES = [
  "KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH", "KeyU", "KeyJ",
  "KeyK", "KeyO", "KeyL", "KeyP", "Semicolon",
];
const NAMES = ["C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B"];
const BLACK = new Set([1, 3, 6, 8, 10]);
const COMPUTER_VELOCITY = 90;

export class Keyboard {
  // press(pitch, velocity, time) and release(pitch, time) are called for every key; times are those
  // of the events, in milliseconds, since their handlers may run late.
  constructor(press, release) {
    this.held = new Map(); // what holds a key (a pointer, a code, a MIDI note) to its pitch
    this.press = press;
    this.release = release;
    this.lowest = 48;
    this.keys = new Map();
    this.labels = new Map(CODES.map((code) => [code, code === "Semicolon" ? ";" : code.slice(3)]));
    this.narrow = matchMedia("(max-width: 36rem)");
    this.narrow.addEventListener("change", () => this.build());
    this.build();
    this.listenToPointers($("piano"));
    document.addEventListener("keydown", (event) => this.keyDown(event));
    document.addEventListener("keyup", (event) => this.up(event.code, event.timeStamp));
    window.addEventListener("blur", () => this.releaseAll());
    $("octave-down").addEventListener("click", () => this.shift(-12));
    $("octave-up").addEventListener("click", () => this.shift(12));
    // Letters as they are printed on this keyboard.
    navigator.keyboard?.getLayoutMap?.().then((layout) => {
      for (const code of CODES) if (layout.get(code)) this.labels.set(code, layout.get(code).toUpperCase());
      this.build();
    }, () => {});
  }

  get open() { return $("keyboard").open; }

  shift(semitones) {
    const top = 108 - 12;
    this.releaseAll();
    this.lowest = Math.min(Math.max(this.lowest + semitones, 24), top);
    this.build();
  }

  build() {
    const octaves = this.narrow.matches ? 1 : 2;
    this.keys.clear();
    const whites = 7 * octaves + 1;
    let white = 0;
    const elements = [];
    for (let k = 0; k <= 12 * octaves; k++) {
      const pitch = this.lowest + k;
      const black = BLACK.has(k % 12);
      const octave = Math.floor(pitch / 12) - 1;
      const key = make("div", { className: black ? "key black" : "key", "data-pitch": pitch, role: "img", "aria-label": `${NAMES[k % 12]} ${octave}` });
      if (CODES[k]) key.append(make("kbd", { text: this.labels.get(CODES[k]) }));
      if (k % 12 === 0) key.append(make("span", { text: `C${octave}` }));
      if (black) key.style.left = `${(100 * white) / whites}%`;
      else white += 1;
      this.keys.set(pitch, key);
      elements.push(key);
    }
    $("piano").style.setProperty("--whites", whites);
    $("piano").replaceChildren(...elements);
    const octave = Math.floor(this.lowest / 12) - 1;
    setText($("octave"), `C${octave} to C${octave + octaves}`);
  }

  down(holder, pitch, velocity, time = performance.now()) {
    if (this.held.get(holder) === pitch) return;
    this.up(holder, time);
    const sounds = [...this.held.values()].includes(pitch);
    this.held.set(holder, pitch);
    this.keys.get(pitch)?.classList.add("down");
    if (!sounds) this.press(pitch, velocity, time);
  }

  up(holder, time = performance.now()) {
    const pitch = this.held.get(holder);
    if (pitch === undefined) return;
    this.held.delete(holder);
    if ([...this.held.values()].includes(pitch)) return;
    this.keys.get(pitch)?.classList.remove("down");
    this.release(pitch, time);
  }

  releaseAll() {
    for (const holder of [...this.held.keys()]) this.up(holder);
  }

  listenToPointers(piano) {
    const play = (event) => {
      const key = document.elementFromPoint(event.clientX, event.clientY)?.closest(".key");
      if (!key || !piano.contains(key)) return this.up(event.pointerId, event.timeStamp);
      const box = key.getBoundingClientRect();
      const depth = (event.clientY - box.top) / box.height;
      return this.down(event.pointerId, Number(key.dataset.pitch), Math.round(55 + 60 * depth), event.timeStamp);
    };
    piano.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      piano.setPointerCapture(event.pointerId);
      play(event);
    });
    piano.addEventListener("pointermove", (event) => {
      if (this.held.has(event.pointerId)) play(event);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      piano.addEventListener(end, (event) => this.up(event.pointerId, event.timeStamp));
    }
  }

  keyDown(event) {
    if (!this.open || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const place = CODES.indexOf(event.code);
    if (place >= 0) {
      event.preventDefault();
      if (!event.repeat) this.down(event.code, this.lowest + place, COMPUTER_VELOCITY, event.timeStamp);
    } else if (event.key === "," || event.key === ".") {
      this.shift(event.key === "," ? -12 : 12);
    }
  }
}

// MIDI keyboards, asked for by a button; devices may come and go.
export class MidiIn {
  constructor(keyboard) {
    this.keyboard = keyboard;
    this.access = null;
    $("midi").addEventListener("click", () => this.connect());
  }

  say(text) {
    $("midi-status").hidden = false;
    setText($("midi-status"), text);
  }

  async connect() {
    if (!navigator.requestMIDIAccess) {
      this.say("This browser cannot read MIDI keyboards. Chrome, Edge and Firefox can.");
      return;
    }
    try {
      this.access ??= await navigator.requestMIDIAccess();
    } catch {
      this.say("The browser was not allowed to use MIDI keyboards.");
      return;
    }
    this.access.onstatechange = () => this.list();
    this.list();
  }

  list() {
    const inputs = [...this.access.inputs.values()].filter((input) => input.state !== "disconnected");
    for (const input of inputs) input.onmidimessage = (event) => this.message(input.id, event.data, event.timeStamp);
    const gone = [...this.keyboard.held.keys()].filter(
      (holder) => typeof holder === "string" && holder.startsWith("midi ")
        && !inputs.some((input) => holder.startsWith(`midi ${input.id} `)));
    for (const holder of gone) this.keyboard.up(holder);
    const names = inputs.map((input) => input.name || "a MIDI keyboard").join(", ");
    this.say(inputs.length ? `Connected: ${names}.` : "No MIDI keyboard is connected. Plug one in; it appears here.");
  }

  message(device, [status, pitch, velocity], time) {
    const kind = status & 0xf0;
    const holder = `midi ${device} ${pitch}`;
    if (kind === 0x90 && velocity > 0) this.keyboard.down(holder, pitch, velocity, time);
    else if (kind === 0x80 || kind === 0x90) this.keyboard.up(holder, time);
  }
}
