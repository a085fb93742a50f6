// The dial: a prompt is answered without a steer and with it, each time that something is turned.

import { knob } from "./knob.js";
import { answer, asked, el, posted } from "./parts.js";

const PAUSE = 200; // milliseconds without a change after which a prompt is answered
const LOOK = 400; // milliseconds between two looks at a model that is being opened
const FIRST = "How does inflation change the price of bread?";

// Returns what turns the dial to a point of a sweep.
export function startDial(place, item) {
  const path = `/api/dial/${encodeURIComponent(item)}`;
  let panel = null;
  let wanted = null;
  const open = document.getElementById("open");
  open.addEventListener("click", begin);
  look();

  async function begin() {
    open.disabled = true;
    try {
      await posted(`${path}/open`, {});
      await look();
    } catch (error) {
      said(error.message, "error");
    }
  }

  async function look() {
    try {
      const told = await (await asked(path)).json();
      if (told.state === "open") ready(told);
      else if (told.state === "failed") said(told.text, "error");
      else if (told.state === "opening") {
        said(`${told.text} …`, "note");
        setTimeout(look, LOOK);
      }
    } catch (error) {
      said(error.message, "error");
    }
  }

  function said(text, kind) {
    const again = kind === "error" ? [open] : [];
    open.disabled = false;
    place.replaceChildren(el(kind === "error" ? "pre" : "p", { class: kind, role: "status" }, text), ...again);
  }

  function ready(told) {
    if (told.steers.length === 0) {
      place.replaceChildren(el("p", { class: "note" }, "this recipe has no steer that could be turned"));
      return;
    }
    panel = new Panel(path, told);
    place.replaceChildren(panel.made);
    if (wanted !== null) panel.choose(...wanted);
    else panel.choose(told.steers[0].name, {});
  }

  return (steer, point, prompt) => {
    wanted = [steer, point, prompt];
    place.closest("section").scrollIntoView({ block: "start" });
    if (panel === null) begin();
    else panel.choose(...wanted);
  };
}

class Panel {
  constructor(path, told) {
    this.path = path;
    this.told = told;
    this.timer = null;
    this.stop = null;
    this.turned = {};
    this.steer = labelled("steer", el("select", {}, ...told.steers.map(({ name }) => el("option", { value: name }, name))));
    this.point = labelled("point", el("select"));
    this.knob = knob((angle) => this.turn("angle", angle));
    this.knobPlace = el("div", { class: "knobs" }, this.knob.made);
    this.strength = slider("strength", 0, 3, 0.05, (x) => this.turn("strength", x));
    this.layer = slider("layer", 0, told.layers - 1, 1, (x) => this.turn("layer", x));
    this.reset = el("button", { type: "button" }, "As in the recipe");
    this.tokens = labelled("tokens", el("input", { type: "number", min: 1, max: told.max_tokens, value: Math.min(48, told.max_tokens) }));
    this.ops = el("pre", { class: "ops" });
    this.prompt = labelled("prompt", el("textarea", { rows: 3, spellcheck: "false" }));
    this.prompt.input.value = FIRST;
    this.status = el("p", { class: "note", role: "status" });
    this.columns = Object.fromEntries(["baseline", "steered"].map((side) => [side, el("div", { class: side })]));
    this.heads = { baseline: el("h5", {}, "baseline"), steered: el("h5", {}) };
    const cards = Object.entries(this.columns).map(([side, column]) => el("div", {}, this.heads[side], column));
    const chosen = el("div", { class: "row" }, this.steer.made, this.point.made, this.tokens.made, this.reset);
    const turning = el("div", { class: "turning" }, chosen, this.strength.made, this.layer.made, this.ops);
    this.made = el("div", {}, el("div", { class: "desk" }, this.knobPlace, turning), this.prompt.made, this.status, el("div", { class: "answers" }, ...cards));
    this.steer.input.addEventListener("change", () => this.choose(this.steer.input.value, {}));
    this.point.input.addEventListener("change", () => this.at(Number(this.point.input.value)));
    this.reset.addEventListener("click", () => this.at(this.number));
    this.prompt.input.addEventListener("input", () => this.soon());
    this.tokens.input.addEventListener("change", () => this.soon());
  }

  // Take a steer, at a point of its sweep.
  choose(name, point, prompt) {
    const steer = this.told.steers.find((one) => one.name === name);
    if (steer === undefined) {
      this.status.textContent = `${name} cannot be turned here: it names what is only known inside of its sweep`;
      return;
    }
    if (prompt !== undefined) this.prompt.input.value = prompt;
    this.steer.input.value = name;
    this.own = steer;
    const words = (at) => Object.entries(at).map(([axis, label]) => `${axis} ${label}`).join(", ");
    this.point.made.hidden = steer.points.length < 2;
    this.point.input.replaceChildren(...steer.points.map(({ at }, i) => el("option", { value: i }, words(at))));
    const same = ({ at }) => Object.keys(at).every((axis) => at[axis] === point[axis]);
    this.at(Math.max(0, steer.points.findIndex(same)));
  }

  // Everything as the recipe has it at this point.
  at(number) {
    this.number = number;
    this.turned = {};
    const own = this.own.points[number];
    this.point.input.value = number;
    this.knobPlace.hidden = own.angle === null;
    if (own.angle !== null) this.knob.set(own.angle);
    this.strength.show(own.strength === null ? null : 1, this.amounts(1));
    const layers = own.layers;
    this.layer.show(layers === null ? null : layers[Math.floor(layers.length / 2)], layers === null ? "" : spread(layers));
    this.ops.textContent = own.ops.join("\n");
    this.reset.disabled = true;
    this.soon();
  }

  turn(what, value) {
    this.turned[what] = value;
    this.reset.disabled = false;
    if (what === "strength") this.strength.say(this.amounts(value));
    if (what === "layer") this.layer.say(`${value}`);
    this.soon();
  }

  amounts(factor) {
    const own = this.own.points[this.number].strength;
    if (own === null) return "";
    const times = own.map((text) => `${+(Number.parseFloat(text) * factor).toPrecision(4)}${text.endsWith("%") ? "%" : ""}`);
    return `${[...new Set(times)].join(", ")} (× ${+factor.toFixed(2)})`;
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.answer(), PAUSE);
  }

  async answer() {
    this.stop?.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    const prompt = this.prompt.input.value;
    if (!prompt.trim()) return;
    const own = this.own.points[this.number];
    const body = { prompt, steer: this.own.name, at: own.at, max_tokens: Number(this.tokens.input.value) || 1, ...this.turned };
    const began = performance.now();
    this.made.dataset.state = "answering";
    this.status.textContent = "answering …";
    this.heads.steered.textContent = this.title();
    const texts = { baseline: "", steered: "" };
    try {
      const response = await posted(`${this.path}/answer`, body, signal);
      for await (const line of lines(response)) {
        if (line.error) throw new Error(line.error.message);
        if (line.done) this.show(line.done, performance.now() - began);
        else {
          texts[line.side] += line.text;
          this.columns[line.side].replaceChildren(el("p", {}, texts[line.side]));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      this.made.dataset.state = "failed";
      this.status.textContent = error.message;
    }
  }

  show(done, milliseconds) {
    for (const [side, mark] of [["baseline", "del"], ["steered", "ins"]]) {
      this.columns[side].replaceChildren(answer(done[side].parts, mark));
    }
    const count = done.baseline.tokens.length + done.steered.tokens.length;
    const same = String(done.baseline.tokens) === String(done.steered.tokens) ? "; both answers are the same" : "";
    this.status.textContent = `${count} tokens in ${(milliseconds / 1000).toFixed(1)} s${same}`;
    this.made.dataset.state = "answered";
  }

  title() {
    const { angle, strength, layer } = this.turned;
    const turned = [];
    const own = this.own.points[this.number];
    if (angle !== undefined || own.angle !== null) turned.push(`${angle ?? own.angle}°`);
    if (strength !== undefined) turned.push(`× ${+strength.toFixed(2)}`);
    if (layer !== undefined) turned.push(`layer ${layer}`);
    return [this.own.name, ...turned].join(", ");
  }
}

function labelled(name, input) {
  return { input, made: el("label", { class: name }, el("span", {}, name), input) };
}

// A slider that is hidden where there is nothing to slide.
function slider(name, min, max, step, changed) {
  const { input, made } = labelled(name, el("input", { type: "range", min, max, step }));
  const words = el("output");
  made.append(words);
  input.addEventListener("input", () => changed(Number(input.value)));
  const say = (text) => {
    words.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  const show = (value, text) => {
    made.hidden = value === null;
    if (value !== null) input.value = value;
    say(text);
  };
  return { made, show, say };
}

function spread(layers) {
  const whole = layers.length > 1 && layers.at(-1) - layers[0] === layers.length - 1;
  return whole ? `${layers[0]} to ${layers.at(-1)}` : layers.join(", ");
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) yield JSON.parse(line);
  }
}
