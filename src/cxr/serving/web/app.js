// The page: a key, films, what the service says of them.

import { showDrift, showHealth, showModel, showNoDrift } from "./about.js";
import { Problem, Service } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { Session } from "./films.js";
import { KeyForm } from "./key.js";
import { resultOf, spoken, summaryOf } from "./result.js";
import { Viewer } from "./viewer.js";

const service = new Service();
const viewer = new Viewer();
const keys = new KeyForm(useKey);

let model = null;
let session = null;
let selected = null;

async function useKey(key) {
  service.use(key);
  if (key === null) return;
  try {
    await learnModel();
    keys.accept(key);
    announce("The key is accepted.");
    session?.retry();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.aboutKey) service.use(null);
    keys.refuse(`${problem.title}. ${problem.whatToDo}`, { wrong: problem.aboutKey });
    return;
  }
  await learnDrift();
}

async function learnModel() {
  model = await service.get("model");
  showModel(model);
}

async function learnDrift() {
  try {
    showDrift(await service.get("drift_report"));
  } catch (problem) {
    showNoDrift(problem.message);
  }
}

function open(files) {
  if (files.length === 0) return;
  session?.end();
  session = new Session(files, service, changed);
  const waiting = byId("choose").contains(document.activeElement) || document.activeElement === document.body;
  byId("list-panel").hidden = session.films.length < 2;
  select(session.films[0]);
  if (waiting) byId("reading").focus({ preventScroll: !matchMedia("(max-width: 60rem)").matches });
  session.run();
}

function select(film) {
  selected = film;
  show();
  announce(spoken(film, model));
}

async function changed(film) {
  if (film.prediction && film.prediction.bundle !== model?.digest) await relearnModel();
  if (film === selected) show();
  else showList();
  if (film === selected) announce(spoken(film, model));
  if (film.problem?.aboutKey) {
    select(film);
    keys.refuse(`${film.problem.title}. ${film.problem.whatToDo}`);
  }
}

/** The service may have taken up another bundle since; operating points must be those of the answer. */
async function relearnModel() {
  await learnModel().catch(() => {
    model = null;
  });
}

function show() {
  viewer.show(session, selected);
  const retry = () => session.retry([selected]);
  byId("result").replaceChildren(...resultOf(selected, model, { retry }));
  showList();
}

function showList() {
  const entries = session.films.map((film) => {
    const button = el("button", { type: "button", "aria-current": film === selected && "true", onclick: () => select(film) },
      el("span", { class: "name" }, film.name), el("span", { class: `outcome ${toneOf(film)}` }, summaryOf(film)));
    return el("li", {}, button);
  });
  const focused = [...byId("list").children].findIndex((entry) => entry.contains(document.activeElement));
  byId("list").replaceChildren(...entries);
  entries[focused]?.firstChild.focus();
}

const toneOf = ({ state, prediction }) => (prediction?.referred.length > 0 ? "referred" : state);

function watchDrops() {
  const plate = document.documentElement;
  let depth = 0;
  const over = (change) => (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    depth = Math.max(0, depth + change);
    plate.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", over(1));
  document.addEventListener("dragleave", over(-1));
  document.addEventListener("dragover", over(0));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    plate.classList.remove("dropping");
    open(event.dataTransfer.files);
  });
}

function watchControls() {
  const picker = byId("picker"); // without `accept`: DICOM files often have no ending, and would be greyed out
  byId("choose").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    open([...picker.files]);
    picker.value = "";
  });
  byId("theme").addEventListener("change", ({ target }) => {
    document.documentElement.dataset.theme = target.value;
  });
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", () => {
      document.querySelector(link.hash).open = true;
    });
  }
}

async function start() {
  watchDrops();
  watchControls();
  const health = await service.get("health").catch(() => null);
  showHealth(health);
  if (health?.key_required === false) {
    keys.unneeded();
    await learnModel();
    await learnDrift();
  } else if (keys.kept()) await useKey(keys.kept());
}

start();
