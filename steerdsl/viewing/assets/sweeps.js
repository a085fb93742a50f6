// The pictures of sweeps: a click on a point shows its answers; arrow keys go along the line.

import { answer, asked, el } from "./parts.js";

const AHEAD = new Set(["ArrowRight", "ArrowUp"]);
const NEAR = 40; // how far from a point a click still means it, in the picture's own units
const BACK = new Set(["ArrowLeft", "ArrowDown"]);

export function startSweeps(item, turn) {
  const behind = document.getElementById("behind");
  if (behind === null) return;
  const spots = [...document.querySelectorAll(".spot")];
  for (const picture of document.querySelectorAll(".sweep")) {
    const own = [...picture.querySelectorAll(".spot")];
    let near = null;
    const light = (spot) => {
      near?.classList.remove("near");
      near = spot;
      near?.classList.add("near");
    };
    picture.addEventListener("pointermove", (event) => light(nearest(picture, own, event)));
    picture.addEventListener("pointerleave", () => light(null));
    picture.addEventListener("click", (event) => {
      const spot = nearest(picture, own, event);
      if (spot !== null) show(spot);
    });
  }
  for (const spot of spots) {
    spot.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") show(spot);
      else if (AHEAD.has(event.key)) along(spot, 1);
      else if (BACK.has(event.key)) along(spot, -1);
      else return;
      event.preventDefault();
    });
  }

  function along(spot, step) {
    const line = [...spot.parentElement.querySelectorAll(".spot")];
    const around = spot.closest(".around") !== null;
    const next = line.indexOf(spot) + step;
    (line[around ? (next + line.length) % line.length : next] ?? spot).focus();
  }

  let newest = 0;
  async function show(spot) {
    const own = ++newest;
    const { evaluation, place } = spot.dataset;
    for (const other of spots) other.classList.toggle("here", other.dataset.evaluation === evaluation && other.dataset.place === place);
    spot.closest("details").after(behind);
    behind.replaceChildren(el("p", { class: "note" }, "reading the answers …"));
    try {
      const path = `/api/runs/${encodeURIComponent(item)}/${encodeURIComponent(evaluation)}/${place}`;
      const told = await (await asked(path)).json();
      if (own === newest) behind.replaceChildren(...shown(evaluation, told, turn));
    } catch (error) {
      if (own === newest) behind.replaceChildren(el("p", { class: "error" }, error.message));
    }
  }
}

// The point next to the pointer, if it is near: points of a wide sweep are closer to each other than a finger is wide.
function nearest(picture, spots, event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
  let [found, least] = [null, NEAR];
  for (const spot of spots) {
    const dot = spot.querySelector("circle");
    const away = Math.hypot(dot.getAttribute("cx") - at.x, dot.getAttribute("cy") - at.y);
    if (away < least) [found, least] = [spot, away];
  }
  return found;
}

function shown(evaluation, told, turn) {
  const head = el("h3", { tabindex: "-1" }, `${evaluation} at ${told.at}`);
  const parts = [head];
  if (told.failed) parts.push(el("p", { class: "error" }, `this point failed: ${told.failed}`));
  if (turn !== null && told.steer !== null) {
    const button = el("button", { type: "button" }, "Take it to the dial");
    button.addEventListener("click", () => turn(told.steer, told.point, told.prompts[0]?.prompt));
    parts.push(el("p", {}, button));
  }
  for (const data of new Set(told.prompts.map((asked) => asked.data))) {
    parts.push(el("h4", { class: "data" }, data));
    parts.push(...told.prompts.filter((asked) => asked.data === data).map(prompt));
  }
  if (told.prompts.length === 0) parts.push(el("p", { class: "note" }, "no answer of this point was kept"));
  if (told.left > 0) parts.push(el("p", { class: "note" }, `${told.left} further prompts are in generations.jsonl`));
  return parts;
}

function prompt(asked) {
  const cards = asked.answers.map(({ name, parts, ended }) => {
    const cut = ended ? null : el("span", { class: "note" }, " (cut at max_tokens)");
    return el("div", {}, el("h5", {}, name, cut), answer(parts, name === "baseline" ? "del" : "ins"));
  });
  return el("article", {}, el("h4", {}, asked.prompt), el("div", { class: "answers" }, ...cards));
}
