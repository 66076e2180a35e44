// What the service said of a film, in words.

import { capital, el, facts, percent } from "./dom.js";
import { described, pointsOf } from "./points.js";

/**
 * Everything about one film.
 * @param {Film} film
 * @param {object|null} model the answer of GET /model.
 * @param {{retry: () => void}} actions
 * @returns {Node[]}
 */
export function resultOf(film, model, { retry }) {
  if (film.state === "read") return reading(film.prediction, model);
  if (film.problem) return [problem(film.problem, film.state === "failed" ? retry : null)];
  return [progress(film)];
}

/** One sentence of the same, for the list of films and for screen readers. */
export function summaryOf({ state, prediction, wait }) {
  if (state === "waiting") return "Waiting";
  if (state === "reading") return wait > 0 ? "Service busy" : "Reading…";
  if (state === "refused") return "Refused";
  if (state === "failed") return "Not read";
  if (prediction.referred.length > 0) return "Refer to a radiologist";
  return `${prediction.decision}, ${percent(prediction.confidence)}`;
}

/** The same in full, for screen readers. */
export function spoken({ state, prediction, problem, name, wait }, model) {
  if (state === "waiting") return `${name}: waiting.`;
  if (state === "reading") return wait > 0 ? "The service is busy. Waiting to try again." : `${name}: reading.`;
  if (problem) return `${name}: ${problem.title}. ${sentence(problem.message)} ${problem.whatToDo}`;
  const { referred, decision: finding, confidence } = prediction;
  if (referred.length > 0) return `${name}: refer to a radiologist. ${why(prediction, model).join(" ")}`;
  const held = prediction.prediction_set;
  const several = held?.length > 1 ? ` It may be ${held.join(" or ")}.` : "";
  return `${name}: ${finding}, confidence ${percent(confidence)}.${several} Not for diagnosis.`;
}

function reading(prediction, model) {
  const strange = prediction.out_of_distribution;
  return [
    prediction.referred.length > 0 ? referral(prediction, model) : decision(prediction),
    el("section", { class: strange ? "figures void" : "figures", "aria-labelledby": "figures-title" },
      el("h3", { id: "figures-title" }, "Probabilities"),
      strange ? el("p", { class: "quiet" }, "Without meaning for this film; shown so that nothing is hidden.") : "",
      ...findings(prediction, model),
      strange ? "" : possible(prediction, model)),
    origin(prediction, model),
  ];
}

function decision({ decision: finding, confidence }) {
  return el("div", { class: "decision" },
    el("p", { class: "label" }, "Decision"),
    el("h3", { class: "verdict" }, finding),
    el("p", {}, el("strong", {}, percent(confidence)), " calibrated confidence"));
}

function referral(prediction, model) {
  const { decision: finding, confidence, out_of_distribution: strange } = prediction;
  const instead = strange ? "Not to be used, the model’s answer was" : "Most probable, but not decided";
  return el("div", { class: "referral" },
    el("h3", { class: "verdict" }, "Refer to a radiologist"),
    ...why(prediction, model).map((reason) => el("p", {}, reason)),
    el("p", { class: "set-aside" }, `${instead}: ${finding}, ${percent(confidence)}.`));
}

function why({ referred, confidence, distance }, model) {
  const needed = model ? `, and it decides from ${percent(model.refer_below)} on` : "";
  const limit = model ? `, limit ${model.out_of_distribution.limit.toFixed(1)}` : "";
  const words = {
    out_of_distribution: "This film is unlike those that the model was trained on "
      + `(distance ${distance.toFixed(1)}${limit}), so its figures mean nothing here.`,
    low_confidence: `The model is too unsure of this film: its confidence is ${percent(confidence)}${needed}.`,
  };
  const order = ["out_of_distribution", "low_confidence"];
  return [...referred].sort((a, b) => order.indexOf(a) - order.indexOf(b)).map((reason) => words[reason] ?? reason);
}

function findings(prediction, model) {
  const detail = el("p", { class: "detail quiet", "aria-hidden": "true" },
    "Point at an operating point, or move there with Tab and the arrow keys, to see how good it is.");
  const rows = Object.entries(prediction.probabilities).map(([finding, probability]) => {
    const points = pointsOf(finding, prediction.operating_points, model);
    const chosen = finding === prediction.decision;
    return el("li", { class: chosen ? "finding chosen" : "finding" },
      el("p", { class: "row" }, el("span", { class: "name" }, finding),
        el("data", { value: probability }, percent(probability))),
      bar(finding, probability, points),
      chips(finding, points, detail));
  });
  return [el("ul", { class: "findings" }, ...rows), detail];
}

/** The prediction set, in a sentence; nothing where the model has none. */
function possible({ prediction_set: held }, model) {
  if (!held) return "";
  const missed = model?.prediction_sets?.error;
  const promise = missed === undefined ? "" : ` Of the patients with a finding, whichever it is, ${percent(1 - missed)} `
    + "are to get a set with it, at hospitals like those that the model learnt from.";
  return el("p", { class: "possible" },
    el("span", { class: "label" }, "Prediction set: "),
    el("strong", {}, held.length > 0 ? held.join(" or ") : "empty"),
    held.length === 1 ? "." : ". The model does not know.",
    el("span", { class: "quiet" }, promise));
}

function bar(finding, probability, points) {
  const fill = el("span", { class: "fill" });
  fill.style.inlineSize = `${100 * probability}%`;
  const ticks = points.map((point) => {
    const tick = el("span", { class: "tick", "data-point": point.key });
    tick.style.insetInlineStart = `${100 * point.threshold}%`;
    return tick;
  });
  return el("div", {
    class: "bar",
    role: "meter",
    "aria-label": `Probability of ${finding}`,
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": (100 * probability).toFixed(1),
    "aria-valuetext": percent(probability),
  }, fill, ...ticks);
}

/** Operating points of a finding: one stop of the Tab key, arrow keys within. */
function chips(finding, points, detail) {
  const buttons = points.map((point, position) => {
    const id = `point-${point.key}`.replace(/[^\w-]+/g, "-");
    const sign = point.positive ? "+" : "−";
    const button = el("button", { type: "button", class: point.positive ? "chip positive" : "chip",
      tabindex: position === 0 ? 0 : -1, "aria-describedby": id },
      el("span", { "aria-hidden": "true" }, sign), ` ${point.short}`,
      el("span", { class: "unseen" }, point.positive ? "positive" : "negative"),
      el("span", { id, hidden: true }, point.words));
    const tell = (on) => () => {
      const tick = button.closest(".finding").querySelector(`[data-point="${CSS.escape(point.key)}"]`);
      tick.classList.toggle("told", on);
      if (on) detail.replaceChildren(el("strong", {}, described(point)), ` ${point.words}`);
    };
    for (const [event, on] of [["focus", true], ["pointerenter", true], ["blur", false], ["pointerleave", false]]) {
      button.addEventListener(event, tell(on));
    }
    return button;
  });
  return el("div", { class: "chips", role: "toolbar", "aria-label": `Operating points of ${finding}`,
    onkeydown: (event) => rove(event, buttons) }, ...buttons);
}

function rove(event, buttons) {
  const here = buttons.indexOf(event.target.closest("button"));
  const moves = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: -1 };
  const there = buttons.at(moves[event.key] % buttons.length);
  if (!(event.key in moves) || !there) return;
  event.preventDefault();
  for (const button of buttons) button.tabIndex = button === there ? 0 : -1;
  there.focus();
}

function origin(prediction, model) {
  const limit = model ? ` (limit ${model.out_of_distribution.limit.toFixed(1)})` : "";
  return facts([
    ["Distance from the training films", `${prediction.distance.toFixed(1)}${limit}`],
    ["Film", `${prediction.width} × ${prediction.height} pixels`],
    ["Model", el("code", { title: prediction.bundle }, prediction.bundle.slice(0, 12))],
    ["Request", el("code", {}, prediction.request_id)],
  ]);
}

function problem(what, retry) {
  const rows = [["Code", el("code", {}, what.code)]];
  if (what.requestId) rows.push(["Request", el("code", {}, what.requestId)]);
  return el("div", { class: what.refusal ? "problem refusal" : "problem" },
    el("h3", { class: "verdict" }, what.title),
    el("p", {}, sentence(what.message)),
    el("p", {}, el("strong", {}, "What to do: "), what.whatToDo),
    retry && !what.aboutKey ? el("button", { type: "button", onclick: retry }, "Try again") : "",
    facts(rows));
}

const sentence = (words) => capital(words).replace(/([^.!?])$/, "$1.");

function progress({ state, wait }) {
  const words = { waiting: "Waiting for the films before it." }[state];
  return el("div", { class: "progress" },
    el("p", {}, wait > 0 ? `The service is busy. Trying again in ${wait} s.` : (words ?? "Reading the film…")),
    state === "reading" ? el("div", { class: "pulse", "aria-hidden": "true" }) : "");
}
