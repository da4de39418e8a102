const sheet = JSON.parse(document.getElementById("sheet").textContent);
const storageKey = "listening-sheet-" + sheet.id;
// Seconds that each side has to be played before it can be answered.
const leastSeconds = 1;
const element = (id) => document.getElementById(id);
let state = load();
let player = null;
let checkPlayer = null;
let begunAt = [0, 0];

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(storageKey));
    if (kept && kept.order && kept.order.length === sheet.trials.length) return kept;
  } catch (error) {
    element("not-stored").hidden = false;
  }
  return newState(crypto.getRandomValues(new Uint32Array(1))[0]);
}

function save() {
  try {
    localStorage.setItem(storageKey, JSON.stringify(state));
  } catch (error) {
    element("not-stored").hidden = false;
  }
}

// The order of songs and of sides depends only on the seed.
function newState(seed) {
  const random = generator(seed);
  const order = sheet.trials.map((_, index) => index);
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  const swapped = sheet.trials.map(() => random() < 0.5);
  return { seed, order, swapped, listener: "", equipment: "", place: 0, trials: {} };
}

// Numbers in [0, 1): a Weyl sequence through a 32-bit mixing function.
function generator(seed) {
  let counter = seed >>> 0;
  return () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let mixed = counter;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4294967296;
  };
}

function sidesOf(trial) {
  const files = sheet.trials[trial].files;
  return state.swapped[trial] ? [files[1], files[0]] : [...files];
}

function recordOf(trial) {
  state.trials[trial] ??= { answer: "", strength: "", seconds: [0, 0], switches: 0, at: "" };
  return state.trials[trial];
}

const answered = () => sheet.trials.filter((_, index) => state.trials[index]?.answer).length;

function show() {
  for (const each of [player, checkPlayer]) if (each) each.pause();
  player = checkPlayer = null;
  const total = sheet.trials.length;
  const section = !state.listener ? "start" : !state.equipment ? "check" : state.place < total ? "trial" : "end";
  for (const id of ["start", "check", "trial", "end"]) element(id).hidden = id !== section;
  showResults();
  if (section === "check") showCheck();
  if (section === "trial") showTrial();
  if (section === "end") element("end").querySelector("h2").focus();
}

// The clip to set the volume with.
function showCheck() {
  const deck = element("check-deck");
  const audio = new Audio("audio/" + sheet.check);
  audio.preload = "auto";
  element("check-audio").replaceChildren(audio);
  element("equip").reset();
  element("check-title").focus();
  const seconds = sheet.trials.find((trial) => trial.files.includes(sheet.check)).seconds;
  deck.querySelector("[data-slider]").setAttribute("aria-valuemax", seconds.toFixed(2));
  const follow = (changed) => {
    if (changed !== checkPlayer) return;
    showPosition(deck, changed);
    deck.querySelector("[data-failure]").hidden = changed.failed === null;
    const heard = heardEnough(changed, changed.heard[0], 0);
    element("checked").disabled = !heard;
    element("check-hint").textContent = heard ? "" : "Play the clip before you continue.";
  };
  checkPlayer = new Player([audio], seconds, follow);
  follow(checkPlayer);
}

function showResults() {
  element("results").hidden = state.listener === "" || state.equipment === "";
  element("summary").textContent =
    state.listener + ": " + answered() + " of " + sheet.trials.length + " answered.";
  element("export").disabled = answered() === 0;
  element("done").style.width = (100 * answered()) / sheet.trials.length + "%";
}

function showTrial() {
  const trial = state.order[state.place];
  const record = recordOf(trial);
  const deck = element("deck");
  const seconds = sheet.trials[trial].seconds;
  const audios = sidesOf(trial).map((file) => {
    const audio = new Audio("audio/" + file);
    audio.preload = "auto";
    return audio;
  });
  element("audios").replaceChildren(...audios);
  element("count").textContent = "Comparison " + (state.place + 1) + " of " + sheet.trials.length;
  element("count").focus();
  deck.querySelector("[data-slider]").setAttribute("aria-valuemax", seconds.toFixed(2));
  begunAt = [...record.seconds];
  player = new Player(audios, seconds, (changed) => changed === player && follow(trial));
  for (const radio of element("question").querySelectorAll("input")) {
    radio.checked = record[radio.name] === radio.value;
  }
  element("back").disabled = state.place === 0;
  follow(trial);
}

function follow(trial) {
  const record = recordOf(trial);
  const deck = element("deck");
  record.seconds = begunAt.map((before, side) => before + player.heard[side]);
  showPosition(deck, player);
  deck.querySelectorAll(".switch input")[player.index].checked = true;
  const failure = deck.querySelector("[data-failure]");
  failure.hidden = player.failed === null;
  failure.textContent = "This audio cannot be played. Please tell the person who invited you.";
  const heard = record.seconds.every((seconds, side) => heardEnough(player, seconds, side));
  element("answers").disabled = !heard;
  element("strengths").disabled = !heard || !["left", "right"].includes(record.answer);
  element("next").disabled = !record.answer;
  element("hint").textContent = heard ? "" : "Listen to both A and B before you answer.";
  if (!player.wanted) save();
}

function heardEnough(player, seconds, side) {
  const length = player.audios[side].duration;
  return seconds >= (length < 2 * leastSeconds ? length / 2 : leastSeconds);
}

function choose(side) {
  if (side === player.index) return;
  recordOf(state.order[state.place]).switches += 1;
  player.select(side);
}

function answer(name, value) {
  const record = recordOf(state.order[state.place]);
  record[name] = value;
  record.at = new Date().toISOString();
  if (record.answer === "same") {
    record.strength = "";
    for (const radio of element("strengths").querySelectorAll("input")) radio.checked = false;
  }
  save();
  follow(state.order[state.place]);
  showResults();
}

const columns = ["sheet", "listener", "place", "corpus", "split", "song", "left", "right", "answer",
  "strength", "seconds_left", "seconds_right", "switches", "answered_at", "equipment"];

// Answers as CSV (RFC 4180), one line per comparison in the order of playback.
function csv() {
  // An apostrophe keeps spreadsheets from computing a name that looks like a formula.
  const plain = (value) => String(value).replace(/^[=+@\t\r-]/, "'$&");
  const quoted = (value) => '"' + plain(value).replaceAll('"', '""') + '"';
  const lines = [columns.join(",")];
  state.order.forEach((trial, place) => {
    const record = state.trials[trial];
    if (!record?.answer) return;
    const seconds = record.seconds.map((value) => value.toFixed(2));
    const line = [sheet.id, state.listener, place + 1, ...sheet.trials[trial].song,
      ...sidesOf(trial), record.answer, record.strength, ...seconds, record.switches, record.at,
      state.equipment];
    lines.push(line.map(quoted).join(","));
  });
  return lines.join("\r\n") + "\r\n";
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  const name = state.listener.replace(/[^\p{L}\p{N}]+/gu, "-");
  link.download = "answers-" + sheet.id + "-" + name + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function move(steps) {
  state.place = Math.min(Math.max(state.place + steps, 0), sheet.trials.length);
  save();
  show();
}

// Connects slider and button of a deck with the player that `current` returns.
function connectDeck(deck, current) {
  const slider = deck.querySelector("[data-slider]");
  const proxy = { get seconds() { return current().seconds; }, get position() { return current().position; },
    seek: (seconds) => current().seek(seconds) };
  followPointer(slider, proxy);
  makeSlider(slider, proxy);
  deck.querySelector("[data-play]").addEventListener("click", () => current().toggle());
}

function connect() {
  const deck = element("deck");
  connectDeck(deck, () => player);
  connectDeck(element("check-deck"), () => checkPlayer);
  deck.querySelectorAll(".switch input").forEach((radio, side) => {
    radio.addEventListener("change", () => choose(side));
  });
  document.addEventListener("keydown", (event) => {
    const button = ["BUTTON", "SUMMARY"].includes(event.target.tagName);
    if (!player || event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.toLowerCase();
    const side = { a: 0, b: 1, 1: 0, 2: 1 }[key];
    if (side !== undefined) choose(side);
    else if (key === " " && !button && !event.target.closest("form")) player.toggle();
    else return;
    event.preventDefault();
  });
  element("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    state.listener = element("listener").value.trim();
    save();
    show();
  });
  element("equip").addEventListener("submit", (event) => {
    event.preventDefault();
    state.equipment = event.target.elements.equipment.value;
    save();
    show();
  });
  element("question").addEventListener("change", (event) => answer(event.target.name, event.target.value));
  element("question").addEventListener("submit", (event) => { event.preventDefault(); move(1); });
  element("back").addEventListener("click", () => move(-1));
  element("return").addEventListener("click", () => move(-1));
  element("export").addEventListener("click", download);
  element("restart").addEventListener("click", () => {
    if (!confirm("This removes the answers of " + state.listener + " from this browser. Have they been downloaded?")) return;
    state = newState(crypto.getRandomValues(new Uint32Array(1))[0]);
    save();
    show();
  });
  addEventListener("pagehide", save);
}

connect();
show();
