"use strict";

function clockText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
}

// Player of several versions of the same music: plays one at a time; switching keeps the position.
class Player {
  static playing = null;

  // audios: <audio> elements; seconds: length of the time axis; onChange: called with the player
  // when its position, version or state changes.
  constructor(audios, seconds, onChange) {
    this.audios = audios;
    this.seconds = seconds;
    this.onChange = onChange;
    this.index = 0;
    this.target = null;  // position in seconds to seek to when the current seek has ended
    this.leftEnd = null;  // position that the last seek went to, if it began at the end of the audio
    this.wanted = false;
    this.ticking = false;
    this.failed = null;
    this.heard = audios.map(() => 0);  // seconds
    this.counted = 0;
    audios.forEach((audio, index) => {
      // The event can come late, after a seek away from the end.
      audio.addEventListener("ended", () => {
        if (index === this.index && audio.ended && this.target === null) this.pause();
      });
      audio.addEventListener("error", () => this.fail(index));
      audio.addEventListener("loadedmetadata", () => this.onChange(this));
      // Counts also while the page is hidden, where there are no animation frames.
      audio.addEventListener("timeupdate", () => index === this.index && this.count());
      audio.addEventListener("seeked", () => {
        if (index === this.index) this.seekToTarget();
        this.onChange(this);
      });
      audio.addEventListener("pause", () => {
        // Only pauses by the browser or a headset, not those by this page.
        if (index !== this.index || this.target !== null) return;
        if (!this.wanted || !audio.paused || audio.ended) return;
        // Chromium can pause late, for an end that a seek has left.
        const late = this.leftEnd !== null && audio.currentTime < this.leftEnd + 0.5;
        this.leftEnd = null;
        if (late) this.play(); else this.pause();
      });
    });
  }

  get audio() { return this.audios[this.index]; }
  get position() { return this.target ?? this.audio.currentTime; }

  play() {
    if (Player.playing && Player.playing !== this) Player.playing.pause();
    Player.playing = this;
    this.wanted = true;
    const audio = this.audio;
    // Loads all versions, so that switching does not wait.
    for (const each of this.audios) each.preload = "auto";
    if ((audio.ended && this.target === null) || this.position >= audio.duration) this.moveTo(0);
    audio.play().catch((error) => {
      // A switch or a pause before playback starts is not a failure.
      if (error.name !== "AbortError" && audio === this.audio) this.pause();
    });
    this.counted = this.position;
    if (!this.ticking) this.tick();
    this.onChange(this);
  }

  pause() {
    this.count();
    this.wanted = false;
    this.audios.forEach((audio) => audio.pause());
    if (Player.playing === this) Player.playing = null;
    this.onChange(this);
  }

  toggle() { if (this.wanted) this.pause(); else this.play(); }

  select(index) {
    if (index === this.index || index < 0 || index >= this.audios.length) return;
    this.count();
    const at = this.position;
    this.audio.pause();
    this.target = null;
    this.index = index;
    this.moveTo(at);
    if (this.wanted) this.play();
    this.onChange(this);
  }

  seek(seconds) {
    this.count();
    this.moveTo(Math.min(Math.max(seconds, 0), this.seconds));
    this.onChange(this);
  }

  // Seeks once at a time, since Chromium can hang when a seek begins during another one.
  moveTo(seconds) {
    const { audio } = this;
    const to = Number.isFinite(audio.duration) ? Math.min(seconds, audio.duration) : seconds;
    // A seek that has ended may not have told so yet, and leave an older position to seek to.
    this.target = audio.seeking && to !== audio.currentTime ? to : null;
    if (!audio.seeking) {
      this.leftEnd = audio.currentTime >= audio.duration ? to : null;
      audio.currentTime = to;
    }
    this.counted = this.position;
  }

  // Seeks to the position that was asked for during the last seek.
  seekToTarget() {
    const to = this.target;
    if (to === null) return;
    this.target = null;
    this.moveTo(to);
    // The browser pauses if the last seek reached the end.
    if (this.wanted && this.audio.paused) this.play();
  }

  tick() {
    this.ticking = this.wanted;
    if (!this.wanted) return;
    this.count();
    this.onChange(this);
    requestAnimationFrame(() => this.tick());
  }

  // Adds the time played since the last call to `heard`, without seeks.
  count() {
    const at = this.position;
    const passed = at - this.counted;
    // The position can go back a little when playback starts.
    if (this.wanted && Math.abs(passed) < 2) this.heard[this.index] += passed;
    this.counted = at;
  }

  fail(index) {
    this.failed = index;
    if (index === this.index) this.pause();
    this.onChange(this);
  }
}

// Makes an element a slider for a player, controlled by keys.
function makeSlider(element, player) {
  element.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 };
    if (event.key in steps) player.seek(player.position + steps[event.key]);
    else if (event.key === "Home") player.seek(0);
    else if (event.key === "End") player.seek(player.seconds);
    else return;
    event.preventDefault();
  });
}

// Seeks to the position where the pointer is pressed or dragged; calls `before` when pressed.
function followPointer(element, player, before) {
  const seek = (event) => {
    const box = element.getBoundingClientRect();
    player.seek(((event.clientX - box.left) / box.width) * player.seconds);
  };
  let down = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    down = event.pointerId;
    // Not for touch, where vertical movements scroll the page.
    if (event.pointerType === "mouse") element.setPointerCapture(down);
    if (before) before();
    seek(event);
  });
  element.addEventListener("pointermove", (event) => { if (event.pointerId === down) seek(event); });
  for (const name of ["pointerup", "pointercancel"]) {
    element.addEventListener(name, () => { down = null; });
  }
}

// Shows position and state of a player on its slider, clock and button.
function showPosition(root, player) {
  const at = player.seconds ? Math.min(player.position / player.seconds, 1) : 0;
  root.style.setProperty("--at", at.toFixed(6));
  const slider = root.querySelector("[data-slider]");
  slider.setAttribute("aria-valuenow", player.position.toFixed(2));
  slider.setAttribute("aria-valuetext", clockText(player.position) + " of " + clockText(player.seconds));
  root.querySelector("[data-clock]").textContent =
    clockText(player.position) + " / " + clockText(player.seconds);
  const button = root.querySelector("[data-play]");
  button.textContent = player.wanted ? "❚❚" : "▶";
  button.setAttribute("aria-label", player.wanted ? "Pause" : "Play");
}
