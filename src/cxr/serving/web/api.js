// Talking to the service: one way to ask, one shape for everything that goes wrong.

const PATIENCE = 90_000;
const MOST_TRIES = 4;
const LONGEST_WAIT = 30;

const TITLES = {
  0: "The service does not answer",
  401: "The API key is not accepted",
  403: "This API key may not read films",
  404: "The service does not know this request",
  408: "The film took too long to arrive",
  413: "This film is too large",
  415: "This file is not a film that can be read",
  422: "This film was refused",
  429: "Too many requests with this key",
  503: "The service is busy",
  504: "The answer took too long",
};

/** In the words of this page, where the service's are for those who write programs. */
const ADVICE = {
  0: "Check the connection and try again. If the film is very large, the service may have turned it away.",
  401: "Type a valid key. An administrator makes one.",
  403: "Use a key with the scope “predict”. An administrator makes one.",
  429: "Wait a little, then try again.",
  503: "Wait a little, then try again.",
};

/** An answer that is not the one asked for; status 0 stands for none at all. */
export class Problem extends Error {
  constructor({ status, code, reason, whatToDo, requestId = "", retryAfter = null }) {
    super(reason);
    Object.assign(this, { status, code, reason, whatToDo, requestId, retryAfter });
  }

  get title() {
    return TITLES[this.status] ?? (this.status >= 500 ? "The service failed" : "The request was not accepted");
  }

  /** The film itself is at fault, not the key, the connection or the service. */
  get refusal() {
    return [413, 415, 422].includes(this.status);
  }

  /** The key is at fault: no film is read until there is another. */
  get aboutKey() {
    return this.status === 401 || this.status === 403;
  }
}

/** The service that the page came from. */
export class Service {
  #key = null;

  /** @param {string|null} key sent with every request from now on. */
  use(key) {
    this.#key = key;
  }

  /** JSON of a GET. */
  get(path) {
    return this.#ask(path, { as: "json" });
  }

  /**
   * POST a film's bytes, never its name. Waits and tries again when the service says when to.
   * @param {Blob} film
   * @param {{as: "json"|"blob", signal: AbortSignal, onWait?: (seconds: number) => void}} options
   * @returns {Promise<object|Blob>} the answer's JSON or bytes.
   */
  async send(path, film, { as, signal, onWait = () => {} }) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#ask(path, { as, signal, method: "POST", body: film, type: film.type });
      } catch (problem) {
        const wait = problem.retryAfter ?? null;
        if (wait === null || wait > LONGEST_WAIT || tries === MOST_TRIES) throw problem;
        for (let left = wait; left > 0; left -= 1) {
          onWait(left);
          await pause(1000, signal);
        }
        onWait(0);
      }
    }
  }

  async #ask(path, { as, signal, method = "GET", body, type }) {
    const headers = { Accept: "application/json, image/png;q=0.9" };
    if (this.#key !== null) headers["X-API-Key"] = this.#key;
    if (type) headers["Content-Type"] = type;
    const limit = AbortSignal.timeout(PATIENCE);
    let response;
    try {
      response = await fetch(path, {
        method,
        headers,
        body,
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
        cache: "no-store",
        credentials: "omit",
        mode: "same-origin",
        redirect: "error",
      });
      if (response.ok) return await response[as]();
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw unanswered(error);
    }
    throw await problemOf(response);
  }
}

function unanswered(error) {
  const [code, reason] = {
    TimeoutError: ["timeout", `There was no answer within ${PATIENCE / 1000} seconds.`],
    SyntaxError: ["bad_answer", "The answer is not one of this service."],
  }[error.name] ?? ["no_connection", "There is no connection to the service."];
  return new Problem({ status: 0, code, reason, whatToDo: ADVICE[0] });
}

async function problemOf(response) {
  const body = (await response.json().catch(() => null)) ?? {};
  const { status, headers } = response;
  const retryAfter = status === 429 || status === 503 ? secondsOf(headers.get("Retry-After")) : null;
  const advice = retryAfter === null ? ADVICE[status] : `Try again in ${retryAfter} s.`;
  return new Problem({
    status,
    code: text(body.code) || `http_${status}`,
    reason: text(body.reason) || `The service answered with status ${status}.`,
    whatToDo: advice ?? (text(body.what_to_do) || "Try again. If this goes on, tell the operator."),
    requestId: text(body.request_id) || headers.get("X-Request-Id") || "",
    retryAfter,
  });
}

const text = (value) => (typeof value === "string" ? value : "");

/** Retry-After is a number of seconds or a date. */
function secondsOf(header) {
  if (header === null) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : null;
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
