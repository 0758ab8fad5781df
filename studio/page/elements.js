// Elements, and numbers as people read them. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return element;
}

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Four significant digits; a dash where nothing is known. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "-";
  if (Math.abs(value) < 1e-12) return "0";
  if (Math.abs(value) >= 10 ** digits) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

export function percent(value) {
  return value === null || value === undefined ? "-" : `${Math.round(100 * value)} %`;
}

export function table(caption, columns, rows) {
  const head = columns.map((c, i) => h("th", { scope: "col", class: i ? "n" : "" }, c));
  const body = rows.map(([first, ...rest]) =>
    h("tr", {}, h("th", { scope: "row" }, first), rest.map((cell) => h("td", { class: "n" }, cell))),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, body),
    ),
  );
}

export function button(text, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

/** Replace what is in a box, unless somebody is typing there. */
export function show(box, ...children) {
  const typing = box.contains(document.activeElement) && document.activeElement.matches("input, select");
  if (typing && document.activeElement.dataset.dirty) return;
  const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  box.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined));
  if (key) [...box.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key)?.focus();
}

/** A number that is changed when it has been typed. */
export function field(label, value, onchange, attributes = {}) {
  const input = h("input", {
    type: "number",
    step: "any",
    value: value ?? "",
    "data-key": label,
    oninput: (event) => (event.target.dataset.dirty = "yes"),
    onchange: (event) => {
      delete event.target.dataset.dirty;
      const typed = event.target.value;
      const text = attributes.type === "text";
      if (typed !== "" && event.target.checkValidity()) onchange(text ? typed : Number(typed));
      else event.target.reportValidity();
    },
    onblur: (event) => delete event.target.dataset.dirty,
    ...attributes,
  });
  return h("label", { class: "field" }, label, input);
}

/** One of several; an option is its value, or [value, text]. */
export function choice(label, value, options, onchange) {
  const pairs = options.map((o) => (Array.isArray(o) ? o : [o, o]));
  const items = pairs.map(([v, text]) => h("option", { value: v, selected: String(v) === String(value) }, text));
  const select = h("select", { "data-key": label, onchange: (e) => onchange(e.target.value) }, items);
  return h("label", { class: "field" }, label, select);
}

export function rounded(value) {
  return typeof value === "number" ? Number(value.toPrecision(6)) : null;
}
