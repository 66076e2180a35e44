// What is told about the model and its surroundings: card, operating points, drift, health.

import { byId, capital, el, facts } from "./dom.js";
import { rendered } from "./markdown.js";
import { pointsTable } from "./points.js";

const CALM = /^steady$/;
const LOUD = /^(drift|suspected)$/;

/** Show what GET /model says. */
export function showModel(model) {
  byId("points-body").replaceChildren(pointsTable(model));
  byId("card-body").replaceChildren(rendered(model.card));
  byId("model-name").textContent = `${model.name}, ${model.architecture}, ${model.digest.slice(0, 12)}`;
  byId("model-name").title = model.digest;
}

/** Show what GET /health says, or null when it says nothing. */
export function showHealth(health) {
  const words = { ok: "Service: ready", loading: "Service: starting", draining: "Service: ending" };
  const state = health?.status;
  badge("health", words[state] ?? "Service: no answer", state === "ok" ? "calm" : "warn");
}

let address = null;

/** Show what GET /drift_report says. */
export function showDrift(report) {
  const state = String(report.state ?? "unknown");
  badge("drift-badge", `Drift: ${worded(state)}`, CALM.test(state) ? "calm" : LOUD.test(state) ? "warn" : "");
  if (address) URL.revokeObjectURL(address);
  const source = JSON.stringify(report, null, 2);
  address = URL.createObjectURL(new Blob([source], { type: "application/json" }));
  const simple = Object.entries(report).filter(([, value]) => value !== null && typeof value !== "object");
  byId("drift-body").replaceChildren(
    facts(simple.map(([name, value]) => [capital(worded(name)), worded(String(value))])),
    el("p", {}, el("a", { href: address, download: "drift_report.json" }, "Download the whole report (JSON)")),
    el("details", {}, el("summary", {}, "The whole report"), el("pre", { tabindex: 0 }, source)),
  );
}

/** Show that there is no report. */
export function showNoDrift(reason) {
  badge("drift-badge", "Drift: not known", "");
  byId("drift-body").replaceChildren(el("p", { class: "quiet" }, reason));
}

function badge(id, words, tone) {
  byId(id).textContent = words;
  byId(id).className = `badge ${tone}`;
}

const worded = (words) => words.replaceAll("_", " ");
