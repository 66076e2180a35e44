// Building elements. Data only ever becomes text: nothing here parses markup.

/** The element of the page with an id. */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, string|number|boolean|Function>} attributes `on…` functions become listeners; false leaves an
 *   attribute out and true gives it without a value.
 * @param {...(Node|string)} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** A list of names and values. */
export function facts(entries) {
  const rows = entries.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return el("dl", { class: "facts" }, ...rows);
}

/** A table that scrolls within the page, so that the page itself never does sideways. */
export function scrolling(table, label) {
  return el("div", { class: "scrolling", role: "region", tabindex: "0", "aria-label": label }, table);
}

/** Have a screen reader say something once it is idle, unless it just did. */
export function announce(text) {
  const announcer = byId("announcer");
  if (announcer.textContent !== text) announcer.textContent = text;
}

/** Words with their first letter large. */
export const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** A share as a percentage; what is not certain is never shown as 0 or 100. */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share < 1 && share >= 0.9995) return ">99.9%";
  return `${(100 * share).toFixed(1)}%`;
}
