// The films that were dropped, and reading them one after another.

import { Problem } from "./api.js";

const PNG = [0x89, 0x50, 0x4e, 0x47];
const JPEG = [0xff, 0xd8, 0xff];
const DICOM = [0x44, 0x49, 0x43, 0x4d];
const DICOM_AT = 128;

/** One file: what is known of it so far. */
export class Film {
  constructor(file) {
    this.file = file;
    this.name = file.name;
    this.state = "waiting"; // → reading → read | refused | failed
    this.body = null;
    this.picture = null; // address of what is shown
    this.prediction = null;
    this.problem = null;
    this.wait = 0; // seconds until the service is asked again
    this.heats = new Map(); // finding → address of its heat map
    this.heatShown = null; // until its reader chooses: shown, unless the film is unlike the training films
  }

  release() {
    for (const address of [this.picture, ...this.heats.values()]) if (address) URL.revokeObjectURL(address);
  }
}

/** Films dropped together; the next drop ends it, with every request that it still has under way. */
export class Session {
  #service;
  #changed;
  #running = false;
  #end = new AbortController();

  /**
   * @param {Iterable<File>} files
   * @param {Service} service
   * @param {(film: Film) => void} changed called whenever something about a film is new.
   */
  constructor(files, service, changed) {
    this.films = [...files].map((file) => new Film(file));
    this.#service = service;
    this.#changed = changed;
  }

  get signal() {
    return this.#end.signal;
  }

  end() {
    this.#end.abort(new DOMException("other films were dropped", "AbortError"));
    for (const film of this.films) film.release();
  }

  /** Read every film that waits; a key that is not accepted leaves the rest waiting for another. */
  async run() {
    if (this.#running) return;
    this.#running = true;
    try {
      for (let film; (film = this.films.find(({ state }) => state === "waiting")) && !this.signal.aborted; ) {
        await this.#read(film);
        if (film.problem?.aboutKey) break;
      }
    } finally {
      this.#running = false;
    }
  }

  /** Read again what failed through no fault of the film. */
  retry(films = this.films) {
    for (const film of films) {
      if (film.state === "failed") Object.assign(film, { state: "waiting", problem: null });
    }
    return this.run();
  }

  /** Address of the heat map for a finding, asked for once. */
  async heat(film, finding, signal) {
    if (!film.heats.has(finding)) {
      const query = new URLSearchParams({ finding, format: "map", opacity: "1" });
      const options = { as: "blob", signal: AbortSignal.any([signal, this.signal]) };
      film.heats.set(finding, URL.createObjectURL(await this.#service.send(`explain?${query}`, film.body, options)));
    }
    return film.heats.get(finding);
  }

  async #read(film) {
    this.#set(film, { state: "reading" });
    try {
      film.body ??= await bodyOf(film.file);
      if (showable(film) && film.picture === null) this.#set(film, { picture: URL.createObjectURL(film.body) });
      const prediction = await this.#send("predict", film, "json");
      film.picture ??= URL.createObjectURL(await this.#send("preview", film, "blob"));
      this.#set(film, { state: "read", prediction });
    } catch (problem) {
      if (this.signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      this.#set(film, { state: problem.refusal ? "refused" : "failed", problem });
    }
  }

  #send(path, film, as) {
    const onWait = (wait) => this.#set(film, { wait });
    return this.#service.send(path, film.body, { as, signal: this.signal, onWait });
  }

  #set(film, values) {
    Object.assign(film, values);
    if (!this.signal.aborted) this.#changed(film);
  }
}

const showable = (film) => ["image/png", "image/jpeg"].includes(film.body.type);

/** A file's bytes with the type that they really have; the name stays here. */
async function bodyOf(file) {
  try {
    const head = new Uint8Array(await file.slice(0, DICOM_AT + DICOM.length).arrayBuffer());
    return file.slice(0, file.size, typeOf(head));
  } catch {
    throw new Problem({
      status: 415,
      code: "unreadable",
      reason: "The browser cannot open this file.",
      whatToDo: "If it is a folder, drop the films in it. If it was moved or changed, choose it again.",
    });
  }
}

function typeOf(head) {
  const has = (bytes, at = 0) => bytes.every((byte, position) => head[at + position] === byte);
  if (has(PNG)) return "image/png";
  if (has(JPEG)) return "image/jpeg";
  return has(DICOM, DICOM_AT) ? "application/dicom" : "application/octet-stream";
}
