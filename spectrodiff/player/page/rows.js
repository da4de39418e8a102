// One row per instrument: its name, mute, solo, the choice of the instrument, and its lane of notes.

import { count, make, setText } from "./messages.js";
import { Surface, colors, drawRow } from "./roll.js";

export class Rows {
  constructor(element, session) {
    this.element = element;
    this.session = session;
    this.rows = [];
    this.song = null;
  }

  // Rows of another song.
  build(song) {
    for (const row of this.rows) row.surface.observer.disconnect();
    this.song = song;
    this.rows = song.rows.map((row, index) => this.row(row, index));
    this.element.replaceChildren(...this.rows.flatMap(({ head, lane }) => [head, lane]));
    for (const row of this.rows) row.surface = new Surface(row.lane);
  }

  row(row, index) {
    const { session } = this;
    const name = make("span", { text: row.name });
    const sounds = make("span", { className: "sounds" });
    const toggle = (letter, word) => make("button", {
      type: "button", text: letter, className: "toggle", "aria-pressed": "false",
      "aria-label": `${word} ${row.name}`, title: word,
    });
    const mute = toggle("M", "Mute");
    const solo = toggle("S", "Solo");
    const press = (set) => () => {
      if (!set.delete(index)) set.add(index);
      session.changed();
    };
    mute.addEventListener("click", press(session.muted));
    solo.addEventListener("click", press(session.soloed));
    const select = make("select", { "aria-label": `Instrument of row ${index + 1}, ${row.name}` });
    select.addEventListener("change", () => {
      const { programs } = session.steering;
      if (select.value === "") delete programs[index];
      else programs[index] = Number(select.value);
      session.changedNow();
    });
    const note = make("p", { className: "row-note", text: count(row.notes, "note") });
    const head = make("div", { className: "lane-head", role: "group", "aria-label": `Row ${index + 1}: ${row.name}` },
      make("p", { className: "row-name" }, make("i", { className: `dot color-${index % 8}`, "aria-hidden": "true" }), name, sounds),
      note,
      make("div", { className: "row-tools" }, row.drums ? make("span") : make("div", { className: "choose small" }, select), mute, solo));
    const lane = make("div", { className: "lane", "data-lane": "" }, make("canvas", { "aria-hidden": "true" }));
    return { head, lane, name, sounds, mute, solo, select, models: null, drums: row.drums };
  }

  // Shows the state of session and take.
  update(take) {
    const { session } = this;
    if (session.song !== this.song) this.build(session.song);
    const { model } = session.sides[session.chosen];
    const silent = new Set(session.mutedRows);
    this.rows.forEach((row, index) => {
      const { sounds, replaced, name } = take.info.rows[index];
      if (row.model !== model) {
        row.model = model;
        row.select.replaceChildren(
          make("option", { value: "", text: "As in the file" }),
          ...model.programs.map(({ program, name }) => make("option", { value: program, text: name })));
      }
      const chosen = session.steering.programs[index];
      row.select.value = chosen === undefined ? "" : String(chosen);
      // A program that this model does not have.
      if (row.select.selectedIndex < 0) row.select.value = "";
      row.mute.ariaPressed = String(session.muted.has(index));
      row.solo.ariaPressed = String(session.soloed.has(index));
      const leftOut = row.drums && !silent.has(index) && take.rows[index].audible === 0
        && !take.applied.steering.muted.includes(index);
      row.head.classList.toggle("silent", silent.has(index) || leftOut);
      const different = replaced || (chosen !== undefined && sounds !== this.song.rows[index].program);
      // The model's own short name, as in the list of its instruments.
      const shortName = take.owner.model.programs.find(({ program }) => program === sounds)?.name ?? name;
      setText(row.sounds, leftOut ? "left out" : sounds !== null && different ? `→ ${shortName}` : "");
      row.sounds.className = leftOut || replaced ? "sounds changed" : "sounds";
    });
  }

  draw(view, take) {
    this.rows.forEach((row, index) => drawRow(row.surface, view, take, index, colors.rows[index % 8]));
  }
}
