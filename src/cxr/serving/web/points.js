// Operating points: thresholds that were fitted on validation films, and what they promise.

import { capital, el, percent, scrolling } from "./dom.js";

const SHORT = {
  youden: () => "Youden",
  sensitivity_at_least: (target) => `Sens ≥ ${whole(target)}`,
  specificity_at_least: (target) => `Spec ≥ ${whole(target)}`,
};
const LONG = {
  youden: () => "Youden (largest sum of sensitivity and specificity)",
  sensitivity_at_least: (target) => `sensitivity at least ${whole(target)}`,
  specificity_at_least: (target) => `specificity at least ${whole(target)}`,
};

const whole = (share) => `${Number((100 * share).toFixed(1))}%`;

/** Points of one finding, with what they say of a film; none while the model is not known. */
export function pointsOf(finding, verdicts, model) {
  return (model?.operating_points ?? [])
    .filter((point) => point.finding === finding && point.key in verdicts)
    .map((point) => ({
      ...point,
      positive: verdicts[point.key],
      short: SHORT[point.name](point.target),
      words: `Threshold ${percent(point.threshold)}; sensitivity ${percent(point.sensitivity)} and specificity `
        + `${percent(point.specificity)} on the validation films.`,
    }));
}

/** One line for a point that is looked at. */
export const described = ({ finding, name, target, positive }) =>
  `${finding}, ${LONG[name](target)}: ${positive ? "positive" : "negative"}.`;

/** All points of a model. */
export function pointsTable(model) {
  const names = ["Finding", "Operating point", "Threshold", "Sensitivity", "Specificity"];
  const head = names.map((name, place) => el("th", { scope: "col", class: place > 1 ? "number" : false }, name));
  const rows = model.operating_points.map((point) =>
    el("tr", {}, el("th", { scope: "row" }, point.finding), el("td", {}, capital(LONG[point.name](point.target))),
      ...[point.threshold, point.sensitivity, point.specificity].map((share) =>
        el("td", { class: "number" }, percent(share)))));
  const caption = el("caption", {}, "A finding is positive from its threshold on. Sensitivity and specificity are those "
    + "of the validation films, where the thresholds were fitted; the model card has those of the test films.");
  const table = el("table", {}, caption, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  return scrolling(table, "Table of operating points");
}
