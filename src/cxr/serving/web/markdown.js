// The Markdown that model cards are written in, as elements: headings, paragraphs, lists, tables, code, bold, italics,
// links. Whatever else a card holds, markup included, is shown as the text that it is.

import { el, scrolling } from "./dom.js";

const BLOCKS = [
  [/^```/, code],
  [/^(#{1,6})\s/, heading],
  [/^\s*(---+|\*\*\*+)\s*$/, rule],
  [/^\|/, table],
  [/^\s*[-*]\s+/, (lines) => list(lines, "ul", /^\s*[-*]\s+/)],
  [/^\s*\d+[.)]\s+/, (lines) => list(lines, "ol", /^\s*\d+[.)]\s+/)],
];

/**
 * Render Markdown.
 * @param {string} source
 * @param {{deepen?: number}} options levels that headings lie deeper in the page than in the source.
 * @returns {DocumentFragment}
 */
export function rendered(source, { deepen = 2 } = {}) {
  const lines = source.replace(/\r\n?/g, "\n").split("\n");
  const fragment = document.createDocumentFragment();
  while (lines.length > 0) {
    if (lines[0].trim() === "") {
      lines.shift();
      continue;
    }
    const block = BLOCKS.find(([start]) => start.test(lines[0]));
    fragment.append(block ? block[1](lines, deepen) : paragraph(lines));
  }
  return fragment;
}

function heading(lines, deepen) {
  const [, marks, title] = /^(#{1,6})\s+(.*)$/.exec(lines.shift());
  return el(`h${Math.min(6, marks.length + deepen)}`, {}, ...inline(title));
}

function rule(lines) {
  lines.shift();
  return el("hr");
}

function code(lines) {
  lines.shift();
  const inside = [];
  while (lines.length > 0 && !lines[0].startsWith("```")) inside.push(lines.shift());
  lines.shift();
  return el("pre", {}, el("code", {}, inside.join("\n")));
}

function paragraph(lines) {
  const words = [lines.shift()];
  while (lines.length > 0 && lines[0].trim() !== "" && !BLOCKS.some(([start]) => start.test(lines[0]))) {
    words.push(lines.shift());
  }
  return el("p", {}, ...inline(words.join(" ")));
}

function list(lines, tag, mark) {
  const items = [];
  while (lines.length > 0 && lines[0].trim() !== "") {
    if (mark.test(lines[0])) items.push(lines.shift().replace(mark, ""));
    else if (/^\s+\S/.test(lines[0])) items[items.length - 1] += ` ${lines.shift().trim()}`;
    else break;
  }
  return el(tag, {}, ...items.map((item) => el("li", {}, ...inline(item))));
}

function table(lines) {
  const rows = [];
  while (lines.length > 0 && lines[0].startsWith("|")) rows.push(cells(lines.shift()));
  const [head, second] = rows;
  const ruled = second !== undefined && second.every((cell) => /^:?-+:?$/.test(cell));
  const right = ruled ? second.map((cell) => cell.endsWith(":")) : [];
  const cell = (tag, extra) => (words, column) =>
    el(tag, { ...extra, class: right[column] ? "number" : false }, ...inline(words));
  const body = rows.slice(ruled ? 2 : 1).map((row) => el("tr", {}, ...row.map(cell("td", {}))));
  const header = el("thead", {}, el("tr", {}, ...head.map(cell("th", { scope: "col" }))));
  return scrolling(el("table", {}, header, el("tbody", {}, ...body)), `Table: ${head.join(", ")}`);
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim());
}

const SPANS = [
  [/^`([^`]+)`/, (found) => el("code", {}, found[1])],
  [/^\*\*(.+?)\*\*/, (found) => el("strong", {}, ...inline(found[1]))],
  [/^\*([^*\s][^*]*)\*/, (found) => el("em", {}, ...inline(found[1]))],
  [/^\[([^\]]*)\]\(([^)\s]*)\)/, (found) => link(found[1], found[2])],
  [/^\\([!-/:-@[-`{-~])/, (found) => found[1]],
];

/** Nodes of one line; a character that starts no span is itself. */
function inline(source) {
  const nodes = [];
  let plain = "";
  let rest = source;
  while (rest !== "") {
    const span = SPANS.map(([pattern, make]) => [pattern.exec(rest), make]).find(([found]) => found);
    if (span) {
      const [found, make] = span;
      nodes.push(plain, make(found));
      plain = "";
      rest = rest.slice(found[0].length);
    } else {
      plain += rest[0];
      rest = rest.slice(1);
    }
  }
  return [...nodes, plain].filter((node) => node !== "");
}

/** Only addresses of the web and of mail become links; any other is shown with its words. */
function link(words, address) {
  if (!/^(https?:\/\/|mailto:)/i.test(address)) return `${words} (${address})`;
  return el("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, ...inline(words));
}
