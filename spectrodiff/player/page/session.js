// The song that is open, its two versions, and how changes reach the server.

import { ServerError, ServerGone, api } from "./api.js";
import { notices } from "./messages.js";
import { Take, samePlace } from "./take.js";

const MARGIN_SECONDS = 0.25;
const STEER_MILLISECONDS = 250;
const RETRY_MILLISECONDS = 1500;
// A version is switched to when it is rendered so far beyond the position.
const REACHED_SECONDS = 0.5;

const GONE = "The server has stopped. Start it again with: spectrodiff play. What was rendered can still be heard.";

const neutral = () => ({ transpose: 0, tempo: 1, programs: {} });
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Session {
  constructor(setup, playback, onChange) {
    this.setup = setup;
    this.playback = playback;
    this.onChange = onChange;
    this.song = null;
    this.source = null; // gives the song again if the server has dropped it
    this.loads = 0;
    const first = this.side(setup.models[0]);
    const second = this.side(setup.models[1] ?? setup.models[0]);
    if (!setup.models[1]) this.vary(second);
    this.sides = [first, second];
    this.chosen = 0;
    this.steering = neutral();
    this.muted = new Set();
    this.soloed = new Set();
    this.timer = null;
    this.endLive = () => {}; // of the keyboard
    this.away = false;
    this.resting = false;
  }

  side(model) {
    const { steps, guidance } = model.sampling;
    return { model, settings: { steps, guidance, seed: 0 }, take: null, steers: null, postponed: false };
  }

  vary(side) {
    if (side.model.diffusion) side.settings.steps *= 2;
    else side.settings.seed = 1;
  }

  get heard() { return this.playback.take; }
  get wanted() { return this.sides[this.chosen].take; }
  get heardSide() { return Math.max(0, this.sides.indexOf(this.heard?.owner)); }

  // Rows that the settings silence.
  get mutedRows() {
    if (!this.song) return [];
    const rows = this.song.rows.map((_, row) => row);
    return rows.filter((row) => (this.soloed.size ? !this.soloed.has(row) : this.muted.has(row)));
  }

  get wish() {
    return { ...this.steering, programs: { ...this.steering.programs }, muted: this.mutedRows };
  }

  // Opens a song; whatever fails leaves the open one as it is. Returns true if it is open.
  async open(source, settings = null) {
    const load = ++this.loads;
    this.endLive();
    notices.clear("open");
    try {
      const song = await source();
      const side = this.sides[0];
      const steering = { ...neutral(), muted: [], ...settings };
      const take = await this.newTake(side, song, steering);
      if (load === this.loads) this.replace(song, source, take, steering);
      else take.leave();
      return load === this.loads;
    } catch (error) {
      if (load === this.loads) this.report("open", error);
      return false;
    }
  }

  replace(song, source, take, steering) {
    this.playback.pause();
    for (const side of this.sides) side.take?.leave();
    for (const side of this.sides) Object.assign(side, { take: null, postponed: false });
    this.song = song;
    this.source = source;
    this.chosen = 0;
    this.steering = { transpose: steering.transpose, tempo: steering.tempo, programs: { ...steering.programs } };
    this.muted.clear();
    this.soloed.clear();
    notices.clear("take", "download", "render");
    this.sides[0].take = take;
    this.playback.use(take, () => 0);
    this.read(this.sides[0]);
    this.onChange();
  }

  async newTake(side, song, steering = this.wish) {
    const settings = { ...side.settings };
    const info = await api.take(song.id, side.model.name, settings, steering);
    const take = new Take(song, info, { settings, steering });
    take.owner = side;
    return take;
  }

  // Asks for parts of a side's take until the end.
  async read(side) {
    const { take } = side;
    if (!take || take.streaming || take.complete || side.steers || this.resting) return;
    try {
      await take.read(() => this.arrived());
      if (side.take === take && this.reading(take) && !take.complete && !take.streaming && !side.steers) {
        await pause(RETRY_MILLISECONDS / 5);
        this.read(side);
      }
    } catch (error) {
      if (error.name === "AbortError" || side.take !== take) return;
      if (error instanceof ServerGone) this.lost();
      else if (error.status === 404) this.renew(side);
      else this.report("render", error, () => this.read(side));
    }
    this.onChange();
  }

  // While one plays live, nothing else is computed.
  rest(resting) {
    this.resting = resting;
    if (resting) for (const take of new Set([this.heard, this.wanted])) take?.stop();
    else this.read(this.sides[this.chosen]);
    this.onChange();
  }

  // A change that came too late for what was left may find room again.
  sought() {
    const side = this.sides[this.chosen];
    if (side.postponed) this.steerSide(side);
  }

  reading(take) { return take === this.wanted || take === this.heard; }

  arrived() {
    this.playback.look();
    this.swap();
    this.onChange();
  }

  // Goes over to the version that was chosen once it is rendered up to the position.
  swap() {
    const { heard, wanted } = this;
    if (!wanted || wanted === heard) return;
    const position = this.playback.position;
    const place = samePlace(position, heard, wanted);
    const idle = this.playback.state === "stopped" && position === 0;
    const reached = wanted.complete || wanted.renderedSeconds >= place + REACHED_SECONDS;
    const stuck = this.playback.state === "waiting" && wanted.renderedSeconds > place;
    if (heard && !idle && !reached && !stuck) return;
    this.playback.use(wanted, (at) => (heard ? samePlace(at, heard, wanted) : 0));
    if (heard) {
      if (this.sides.some((side) => side.take === heard)) heard.stop();
      else heard.leave();
    }
    this.onChange();
  }

  async choose(index) {
    if (index === this.chosen) return;
    this.chosen = index;
    const side = this.sides[index];
    this.onChange();
    if (!side.take) await this.replaceTake(side);
    else {
      this.steerSide(side);
      this.read(side);
      this.swap();
    }
  }

  // A take of its own, for a model that was chosen or a take that is gone.
  async replaceTake(side) {
    const { song } = this;
    if (!song) return;
    const ticket = (side.ticket = (side.ticket ?? 0) + 1);
    try {
      const take = await this.newTake(side, song);
      if (side.ticket !== ticket || this.song !== song) return take.leave();
      if (side.take && side.take !== this.heard) side.take.leave();
      side.take = take;
      notices.clear("take");
      this.read(side);
      this.swap();
    } catch (error) {
      if (error.status === 404) await this.renew(side);
      else {
        this.report("take", error, () => this.replaceTake(side));
        if (!side.take) this.chosen = this.heardSide;
      }
    }
    this.onChange();
  }

  // The server has forgotten a take, and perhaps its song: both are made anew.
  async renew(side) {
    if (side.renewing) return;
    side.renewing = true;
    const { song } = this;
    notices.set("take", "The server no longer had this version. It is rendered again.");
    try {
      await api.song(song.id).catch(async (error) => {
        if (error.status !== 404) throw error;
        const again = await this.source();
        if (this.song === song) song.id = again.id;
      });
      if (this.song === song) await this.replaceTake(side);
    } catch (error) {
      this.report("take", error, () => this.renew(side));
    } finally {
      side.renewing = false;
    }
  }

  useModel(name) {
    const side = this.sides[this.chosen];
    side.model = this.setup.models.find((model) => model.name === name);
    const { steps, guidance } = side.model.sampling;
    Object.assign(side.settings, { steps, guidance });
    this.replaceTake(side);
    this.onChange();
  }

  // Settings or steering were changed: applied when they have rested a moment.
  changed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.steerSide(this.sides[this.chosen]), STEER_MILLISECONDS);
    this.onChange();
  }

  changedNow() {
    clearTimeout(this.timer);
    this.steerSide(this.sides[this.chosen]);
    this.onChange();
  }

  fromStart() {
    clearTimeout(this.timer);
    this.playback.seek(0);
    return this.steerSide(this.sides[this.chosen], 0);
  }

  // One request at a time; what changes meanwhile is sent after it.
  async steerSide(side, segment = null) {
    if (side.steers) {
      side.again = segment === null ? (side.again ?? "next") : segment;
      return;
    }
    const { take } = side;
    if (!take) return;
    const steering = this.wish;
    const settings = { ...side.settings };
    const same = JSON.stringify({ settings, steering }) === JSON.stringify(take.applied);
    if (same && segment === null) return;
    // Only what has been rendered, or is about to be, can be followed by something else.
    const from = Math.min(segment ?? this.nextSegment(take), take.nextSegment);
    if (from >= take.info.segments) {
      side.postponed = true;
      return;
    }
    side.postponed = false;
    notices.clear("render");
    side.steers = take.steer(from, settings, steering);
    try {
      const kept = await side.steers;
      if (take === this.heard) this.playback.drop(kept);
    } catch (error) {
      if (error instanceof ServerGone) this.lost();
      else if (error.status === 404) this.renew(side);
      else this.report("render", error);
    } finally {
      side.steers = null;
    }
    const { again } = side;
    side.again = undefined;
    if (again !== undefined && side.take === take) this.steerSide(side, again === "next" ? null : again);
    else if (side.take === take) this.read(side);
    this.onChange();
  }

  // From where changes hold: soon after what is heard, or the beginning when nothing is.
  nextSegment(take) {
    const { playback } = this;
    const place = samePlace(playback.position, this.heard, take);
    if (playback.state === "stopped" && (place === 0 || playback.atEnd())) return 0;
    const margin = playback.state === "stopped" ? 0 : MARGIN_SECONDS + take.lastComputeSeconds;
    return take.segmentAfter(place, margin);
  }

  // Playback has ended: changes that came too late for it hold when it begins again.
  ended() {
    const side = this.sides[this.chosen];
    if (side.postponed) this.steerSide(side, 0);
  }

  async lost() {
    if (this.away) return;
    this.away = true;
    notices.set("server", GONE, { error: true });
    this.onChange();
    while (this.away) {
      await pause(RETRY_MILLISECONDS);
      try {
        await api.setup();
        this.away = false;
      } catch {
        // Still away.
      }
    }
    notices.clear("server");
    this.steerSide(this.sides[this.chosen]);
    this.read(this.sides[this.chosen]);
    this.onChange();
  }

  report(key, error, retry = null) {
    if (error instanceof ServerGone) {
      if (key === "open") notices.set(key, "This cannot be opened: the server does not answer.", { error: true });
      this.lost();
    } else if (error instanceof ServerError) {
      notices.set(key, error.message, { error: true, action: retry && { label: "Try again", run: retry } });
    } else {
      throw error;
    }
  }
}
