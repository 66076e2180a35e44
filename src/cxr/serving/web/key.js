// The API key: in memory, or in this tab's session storage when its owner says so; never anywhere that outlives the tab.

import { byId } from "./dom.js";

const PLACE = "cxr-api-key";

/** The form for the key. */
export class KeyForm {
  #use;

  /** @param {(key: string|null) => void} use called with a key that was typed or kept, and with null to forget it. */
  constructor(use) {
    this.#use = use;
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("key-forget").addEventListener("click", () => this.#forget());
  }

  /** The key that this tab kept, or null. */
  kept() {
    return sessionStorage.getItem(PLACE);
  }

  /** Say that a key is in use; who typed it is taken on to the films, since the form goes away. */
  accept(key) {
    if (byId("key-form").contains(document.activeElement)) byId("choose").focus();
    byId("key").value = "";
    byId("key").removeAttribute("aria-invalid");
    byId("key-name").textContent = /^cxr_[^_]+_/.test(key) ? `Key ${key.split("_")[1]} in use.` : "A key is in use.";
    this.#show({ held: true, words: this.kept() ? "Until this tab is closed." : "In memory only." });
  }

  /** Say why there is no usable key, and put the cursor where one is typed. */
  refuse(words, { wrong = true } = {}) {
    if (wrong) sessionStorage.removeItem(PLACE);
    byId("key").setAttribute("aria-invalid", String(wrong));
    this.#show({ held: false, words });
    byId("key").focus();
  }

  unneeded() {
    byId("key-form").hidden = true;
    byId("key-status").textContent = "This service asks for no key.";
  }

  #submit() {
    const key = byId("key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(key)) return this.refuse("A key has letters, digits, - and _ only.");
    if (byId("key-keep").checked) sessionStorage.setItem(PLACE, key);
    else sessionStorage.removeItem(PLACE);
    byId("key-status").textContent = "Asking the service…";
    return this.#use(key);
  }

  #forget() {
    sessionStorage.removeItem(PLACE);
    this.#use(null);
    this.#show({ held: false, words: "The key is forgotten." });
    byId("key").focus();
  }

  #show({ held, words }) {
    byId("key-form").hidden = held;
    byId("key-held").hidden = !held;
    byId("key-status").textContent = words;
  }
}
