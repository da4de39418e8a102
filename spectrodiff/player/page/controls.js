// Transport, the two versions, settings, and downloads.

import { ServerError, api } from "./api.js";
import { clockText, make, notices, setText } from "./messages.js";

const $ = (id) => document.getElementById(id);

function signed(number) {
  return number > 0 ? `+${number}` : number < 0 ? `−${-number}` : "0";
}

// The part of a slider left of its thumb is colored.
function fill(slider) {
  const share = (slider.value - slider.min) / (slider.max - slider.min);
  slider.style.setProperty("--fill", `${100 * share}%`);
}

function options(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => make("option", { value, text })));
}

export class Controls {
  constructor(session, playback) {
    this.session = session;
    this.playback = playback;
    this.downloading = null;
    options($("model"), session.setup.models.map(({ name }) => [name, name]));
    $("model").addEventListener("change", (event) => session.useModel(event.target.value));
    $("play").addEventListener("click", () => this.toggle());
    for (const input of document.querySelectorAll("[name=side]")) {
      input.addEventListener("change", () => session.choose(Number(input.value)));
    }
    $("from-start").addEventListener("click", () => session.fromStart());
    for (const id of ["transpose", "tempo"]) {
      $(id).addEventListener("input", () => {
        session.steering[id] = Number($(id).value);
        session.changed();
      });
    }
    for (const id of ["steps", "guidance", "seed"]) this.number($(id), id);
    for (const button of document.querySelectorAll("[data-download]")) {
      button.addEventListener("click", () => this.download(button));
    }
    document.addEventListener("pointerdown", (event) => {
      if (!$("downloads").contains(event.target)) $("downloads").open = false;
    });
    $("downloads").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      $("downloads").open = false;
      $("downloads").querySelector("summary").focus();
    });
  }

  number(input, name) {
    const { session } = this;
    const use = () => {
      const value = input.valueAsNumber;
      const valid = Number.isFinite(value) && input.validity.valid;
      input.toggleAttribute("data-wrong", !valid);
      if (!valid) return;
      session.sides[session.chosen].settings[name] = value;
      session.changed();
    };
    input.addEventListener("input", use);
    // What is not a number in range gives way to the last that was.
    input.addEventListener("blur", () => {
      input.removeAttribute("data-wrong");
      this.update();
    });
  }

  toggle() {
    if (this.playback.state === "stopped") {
      this.session.endLive();
      this.playback.play();
    } else this.playback.pause();
  }

  switchSides() {
    this.session.choose(1 - this.session.chosen);
    document.querySelectorAll("[name=side]")[this.session.chosen].checked = true;
  }

  // Shows the state of session and playback; called after every change.
  update() {
    const { session, playback } = this;
    if (!session.song) return;
    const take = session.heard;
    const side = session.sides[session.chosen];
    const playing = playback.state !== "stopped";
    $("play").ariaLabel = playing ? "Pause" : "Play";
    $("play").classList.toggle("playing", playing);
    document.querySelectorAll("[name=side]").forEach((input, index) => {
      input.checked = index === session.chosen;
      input.nextElementSibling.classList.toggle("coming", input.checked && session.wanted !== take);
    });
    setText($("length"), `/ ${clockText(take.seconds)}`);
    $("model").value = side.model.name;
    const { model } = side;
    setText($("model-note"), model.notice || `Knows ${model.instruments}${model.drums ? "" : "; no drums"}.`);
    setText($("own-steps"), `This model is made for ${model.sampling.made_for}.`);
    $("model-note").classList.toggle("warning-text", model.notice !== "");
    for (const field of document.querySelectorAll("[data-diffusion]")) field.hidden = !model.diffusion;
    setText($("side-name"), "AB"[session.chosen]);
    for (const id of ["steps", "guidance", "seed"]) {
      const input = $(id);
      if (document.activeElement !== input) input.value = side.settings[id];
    }
    for (const id of ["transpose", "tempo"]) {
      if (Number($(id).value) !== session.steering[id]) $(id).value = session.steering[id];
      fill($(id));
    }
    const { transpose, tempo } = session.steering;
    setText($("transpose-value"), transpose === 0 ? "as written" : `${signed(transpose)} semitone${Math.abs(transpose) === 1 ? "" : "s"}`);
    setText($("tempo-value"), tempo === 1 ? "as written" : `${tempo.toFixed(2)} times as fast`);
    $("transpose").ariaValueText = $("transpose-value").textContent;
    $("tempo").ariaValueText = $("tempo-value").textContent;
    const every = side.model.segment_seconds.toFixed(2).replace(/0$/, "");
    setText($("settings-note"), `Changes are heard from the next segment on: every ${every} s.`);
    const rest = take.complete ? "" : "The rest of the sound is rendered first.";
    setText($("download-note"), this.downloading ?? rest);
    $("download-note").hidden = $("download-note").textContent === "";
  }

  // Text beside the clock, and the kind of it, which is announced when it changes.
  status() {
    const { session, playback } = this;
    const take = session.heard;
    const { speed } = take;
    const pace = speed === null ? "" : `: it renders ${speed.toFixed(1)} s of audio per second here`;
    const [heard, wanted] = ["AB"[session.heardSide], "AB"[session.chosen]];
    if (session.resting) return ["Waits while you play live.", "resting"];
    if (session.away) return ["The server has stopped.", "gone"];
    if (session.wanted && session.wanted !== take) {
      const until = clockText(session.wanted.renderedSeconds);
      if (heard === wanted) return [`The new version is rendered up to ${until}. The old one is heard until then.`, `new ${wanted}`];
      return [`${wanted} is rendered up to ${until}. ${heard} is heard until ${wanted} is there.`, `wait for ${wanted}`];
    }
    if (playback.state === "waiting") return [`Waiting for the model${pace}.`, "waiting"];
    if (session.sides[session.chosen].postponed) return ["The change is heard when the song begins again.", "postponed"];
    if (take.complete) return ["Rendered.", "rendered"];
    const done = `Rendered ${clockText(take.renderedSeconds)} of ${clockText(take.seconds)}`;
    if (speed !== null && speed < 1) return [`${done}. Too slow to play on without pauses${pace}.`, "slow"];
    return [speed === null ? `${done}.` : `${done}, ${speed.toFixed(1)} times as fast as it sounds.`, "rendering"];
  }

  async download(button) {
    const take = this.session.heard;
    const name = button.dataset.download;
    const label = button.querySelector("b").textContent;
    notices.clear("download");
    this.downloading = take.complete || name === "notes.mid"
      ? `${label}: is being written.` : `${label}: the rest is rendered first. It comes when that is done.`;
    button.disabled = true;
    this.update();
    try {
      const response = await api.download(take.id, name);
      const file = /filename\*?="?(?:utf-8'')?([^";]+)/i.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
      const url = URL.createObjectURL(await response.blob());
      const link = make("a", { href: url, download: file ? decoded(file) : name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      this.downloading = null;
    } catch (error) {
      this.downloading = null;
      const gone = error instanceof ServerError && error.status === 404;
      if (gone) this.session.renew(take.owner);
      const text = gone ? "The server no longer had this version. It is rendered again; try the download then." : `${label}: ${error.message}`;
      notices.set("download", text, { error: true });
    }
    button.disabled = false;
    this.update();
  }
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
