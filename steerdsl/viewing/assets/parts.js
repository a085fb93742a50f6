// Makes elements. Texts become text nodes alone: no text of a record or a model is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// An answer in pieces, [text, whether the other side lacks it]; null for one that is withheld.
export function answer(pieces, mark) {
  if (pieces === null) return el("p", { class: "note" }, "withheld");
  if (!pieces.some(([text]) => text.trim())) return el("p", { class: "note" }, "(empty)");
  return el("p", {}, ...pieces.map(([text, own]) => (own ? el(mark, {}, text) : text)));
}

// What the server says, or an Error with its words.
export async function asked(path, options = {}) {
  const response = await fetch(path, { credentials: "same-origin", ...options });
  if (response.ok) return response;
  const told = await response.json().catch(() => null);
  throw new Error(told?.error?.message ?? `the server answered ${response.status}`);
}

export function posted(path, value, signal) {
  const headers = { "Content-Type": "application/json" };
  return asked(path, { method: "POST", headers, body: JSON.stringify(value), signal });
}
