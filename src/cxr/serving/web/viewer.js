// The film, and the heat map over it.

import { announce, byId, el } from "./dom.js";

/** Shows one film of a session at a time. */
export class Viewer {
  #session = null;
  #film = null;
  #finding = null;
  #broken = null; // address of a picture that the browser cannot decode
  #asked = new AbortController();

  constructor() {
    byId("heat-shown").addEventListener("change", ({ target }) => {
      this.#film.heatShown = target.checked;
      this.#showHeat();
    });
    byId("opacity").addEventListener("input", () => this.#fade());
    byId("film").addEventListener("error", ({ target }) => {
      this.#broken = target.getAttribute("src");
      this.#showFilm();
    });
    this.#fade();
  }

  /** @param {Film} film of the session. */
  show(session, film) {
    const other = film !== this.#film;
    this.#session = session;
    this.#film = film;
    byId("invitation").hidden = true;
    this.#showFilm();
    if (film.state !== "read") this.#withdrawHeat();
    else if (other || byId("heat-tools").disabled) this.#offerHeat();
  }

  #showFilm() {
    const { name, picture, state } = this.#film;
    const image = byId("film");
    const shown = picture !== null && picture !== this.#broken;
    image.hidden = !shown;
    image.alt = shown ? `Film ${name}` : "";
    if (!shown) image.removeAttribute("src");
    else if (image.getAttribute("src") !== picture) image.src = picture;
    const words = { waiting: "Waiting…", reading: "Reading…" }[state] ?? "This file cannot be shown.";
    this.#note(shown ? "" : words);
  }

  #offerHeat() {
    const { prediction } = this.#film;
    this.#finding = prediction.decision;
    this.#film.heatShown ??= !prediction.out_of_distribution;
    byId("heat-tools").disabled = false;
    byId("heat-shown").checked = this.#film.heatShown;
    const choices = Object.keys(prediction.probabilities).map((finding) => this.#choice(finding));
    byId("heat-findings").replaceChildren(...choices);
    this.#showHeat();
  }

  #withdrawHeat() {
    this.#asked.abort();
    byId("heat-tools").disabled = true;
    byId("heat").hidden = true;
    byId("heat").removeAttribute("src");
  }

  #choice(finding) {
    const choose = () => {
      this.#finding = finding;
      this.#showHeat();
    };
    const radio = el("input", {
      type: "radio",
      name: "heat-finding",
      value: finding,
      checked: finding === this.#finding,
      onchange: choose,
    });
    return el("label", {}, radio, el("span", {}, finding));
  }

  async #showHeat() {
    this.#asked.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    const [film, finding, heat] = [this.#film, this.#finding, byId("heat")];
    heat.hidden = true;
    this.#note("");
    if (!film.heatShown) return;
    this.#note("Loading the heat map…");
    try {
      const address = await this.#session.heat(film, finding, signal);
      if (signal.aborted) return;
      heat.src = address;
      heat.alt = `Heat map: where the evidence for ${finding} was found`;
      heat.hidden = false;
      this.#note("");
    } catch (problem) {
      if (signal.aborted || this.#session.signal.aborted) return;
      this.#note(`No heat map: ${problem.message}`);
      announce(`No heat map: ${problem.message}`);
    }
  }

  #fade() {
    const { value } = byId("opacity");
    byId("opacity-value").textContent = `${value}%`;
    byId("heat").style.opacity = String(value / 100);
  }

  #note(words) {
    byId("plate-note").textContent = words;
    byId("plate-note").hidden = words === "";
  }
}
