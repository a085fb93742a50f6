// A round knob for an angle: dragged, or turned by keys. Angles go counter-clockwise from the right, as in the pictures.

import { svg } from "./parts.js";

const SIZE = 180;
const MIDDLE = SIZE / 2;
const RIM = 66;
const KEYS = { ArrowRight: -5, ArrowDown: -5, ArrowLeft: 5, ArrowUp: 5, PageDown: -45, PageUp: 45 };

export function knob(changed) {
  const hand = svg("line", { x1: MIDDLE, y1: MIDDLE, class: "hand" });
  const tip = svg("circle", { r: 8, class: "tip" });
  const arc = svg("path", { class: "arc" });
  const marks = [];
  for (let degrees = 0; degrees < 360; degrees += 15) {
    const [from, to] = [place(degrees, RIM + 4), place(degrees, RIM + (degrees % 90 ? 7 : 11))];
    marks.push(svg("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: "mark" }));
  }
  const words = svg("text");
  const disc = svg("circle", { cx: MIDDLE, cy: MIDDLE, r: RIM, class: "disc" });
  const about = { viewBox: `0 0 ${SIZE} ${SIZE}`, class: "knob", tabindex: "0", role: "slider" };
  const made = svg("svg", { ...about, "aria-label": "angle", "aria-valuemin": 0, "aria-valuemax": 359 }, disc, ...marks, arc, words, hand, tip);
  let angle = 0;

  function set(degrees) {
    angle = ((Math.round(degrees) % 360) + 360) % 360;
    const [x, y] = place(angle, RIM - 12);
    for (const [shape, names] of [[hand, ["x2", "y2"]], [tip, ["cx", "cy"]]]) {
      shape.setAttribute(names[0], x);
      shape.setAttribute(names[1], y);
    }
    const [fromX, fromY] = place(0, RIM);
    const [toX, toY] = place(angle, RIM);
    arc.setAttribute("d", `M ${fromX} ${fromY} A ${RIM} ${RIM} 0 ${angle > 180 ? 1 : 0} 0 ${toX} ${toY}`);
    const [wordsX, wordsY] = place(angle + 180, 30); // where the hand is not
    words.setAttribute("x", wordsX);
    words.setAttribute("y", Number(wordsY) + 5);
    words.textContent = `${angle}°`;
    made.setAttribute("aria-valuenow", angle);
    made.setAttribute("aria-valuetext", `${angle} degrees`);
  }

  function turn(degrees) {
    const before = angle;
    set(degrees);
    if (angle !== before) changed(angle);
  }

  function follow(event) {
    const box = made.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    turn((Math.atan2(-y, x) * 180) / Math.PI);
  }

  made.addEventListener("pointerdown", (event) => {
    made.setPointerCapture(event.pointerId);
    made.focus();
    follow(event);
    event.preventDefault();
  });
  made.addEventListener("pointermove", (event) => {
    if (made.hasPointerCapture(event.pointerId)) follow(event);
  });
  made.addEventListener("keydown", (event) => {
    if (event.key === "Home") turn(0);
    else if (event.key in KEYS) turn(angle + KEYS[event.key]);
    else return;
    event.preventDefault();
  });
  set(0);
  return { made, set };
}

function place(degrees, radius) {
  const turn = (degrees * Math.PI) / 180;
  return [MIDDLE + radius * Math.cos(turn), MIDDLE - radius * Math.sin(turn)].map((x) => x.toFixed(2));
}
