// Requests to the server, and its binary stream of rendered parts.

// An answer that is not a success; `message` is a sentence for people.
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// No answer: the server has stopped, or the connection broke.
export class ServerGone extends Error {}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerGone("The server does not answer.");
  }
  if (response.ok) return response;
  const text = await response.text().catch(() => "");
  let message = `The server answered with error ${response.status}.`;
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // Not JSON: the number has to do.
  }
  throw new ServerError(response.status, message);
}

async function json(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch {
    throw new ServerGone("The server stopped in the middle of an answer.");
  }
}

function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return json(path, { method: "POST", headers, body: JSON.stringify(body) });
}

const part = encodeURIComponent;

export const api = {
  setup: () => json("/api/setup"),
  song: (id) => json(`/api/songs/${part(id)}`),
  example: (name) => post(`/api/examples/${part(name)}`, {}),
  phrase: (notes, program) => post("/api/phrases", { notes, program }),
  upload: (file) => json(`/api/songs?name=${part(file.name)}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: file,
  }),
  take: (song, model, settings, steering) => post("/api/takes", { song, model, settings, steering }),
  steer: (id, segment, settings, steering) =>
    post(`/api/takes/${part(id)}/steer`, { segment, settings, steering }),
  parts: (id, revision, segment, signal) =>
    readParts(`/api/takes/${part(id)}/parts?revision=${revision}&segment=${segment}`, signal),
  download: (id, name) => request(`/api/takes/${part(id)}/${name}`),
  // `keepalive`, since takes are also left when the page is closed.
  forget: (kind, id) => fetch(`/api/${kind}/${part(id)}`, { method: "DELETE", keepalive: true }).catch(() => {}),
  live: (model, settings, program) => post("/api/live", { model, settings, program }),
  liveEvents: (id, events) => post(`/api/live/${part(id)}/events`, { events }),
  liveSteer: (id, program, transpose, settings) =>
    post(`/api/live/${part(id)}/steer`, { program, transpose, settings }),
  liveParts: (id, signal) => readParts(`/api/live/${part(id)}/parts`, signal),
};

const MEL_BINS = 128;

// Yields the parts of a stream: its header's fields, `mel` (Uint8Array) and `audio` (Int16Array).
async function* readParts(path, signal) {
  const response = await request(path, { signal });
  const bytes = new ByteReader(response.body.getReader());
  try {
    for (;;) {
      const size = await bytes.take(4);
      if (size === null) return;
      const length = new DataView(size.buffer).getUint32(0, true);
      const header = JSON.parse(new TextDecoder().decode(await bytes.need(length)));
      if (header.error) throw new ServerError(500, header.error);
      const mel = await bytes.need(header.frames * MEL_BINS);
      const raw = await bytes.need(header.samples * 2);
      yield { ...header, mel, audio: new Int16Array(raw.buffer) };
      if (header.last) return;
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ServerError) throw error;
    throw new ServerGone("The stream of sound broke off.");
  } finally {
    bytes.close();
  }
}

class ByteReader {
  constructor(reader) {
    this.reader = reader;
    this.pieces = [];
    this.available = 0;
  }

  // The next `count` bytes in an array of their own; null if the stream ends before the first.
  async take(count) {
    while (this.available < count) {
      const { done, value } = await this.reader.read();
      if (done && this.available === 0) return null;
      if (done) throw new Error("The stream ends within a part.");
      this.pieces.push(value);
      this.available += value.length;
    }
    const result = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const piece = this.pieces[0];
      const used = Math.min(piece.length, count - filled);
      result.set(piece.subarray(0, used), filled);
      filled += used;
      if (used === piece.length) this.pieces.shift();
      else this.pieces[0] = piece.subarray(used);
    }
    this.available -= count;
    return result;
  }

  async need(count) {
    const result = count === 0 ? new Uint8Array(0) : await this.take(count);
    if (result === null) throw new Error("The stream ends within a part.");
    return result;
  }

  close() {
    this.reader.cancel().catch(() => {});
  }
}
