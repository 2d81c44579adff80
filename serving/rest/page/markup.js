// Elements and numbers.

const $ = (id) => document.getElementById(id);

/** Make an element of a class, or with properties: `on...` adds a listener, `aria-...` is an attribute. */
function el(tag, properties = "", ...children) {
  const made = document.createElement(tag);
  if (isText(properties)) properties = properties && { className: properties };
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Place an element by shares of its stage, from 0 to 1. */
function placed(made, { left = 0, top = 0, width, height }) {
  const share = (value) => `${100 * value}%`;
  Object.assign(made.style, { left: share(left), top: share(top) });
  if (width !== undefined) Object.assign(made.style, { width: share(width), height: share(height) });
  return made;
}

/** Write a number in at most four significant digits. */
function written(value) {
  if (typeof value !== "number") return String(value ?? "missing");
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
}

const plain = (name) => name.replace(/_/g, " ");
const isNumber = (value) => typeof value === "number";
const isText = (value) => typeof value === "string";
const listOf = (value, test) => Array.isArray(value) && value.length > 0 && value.every(test);
const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value || 0)), 0);

function folded(title, ...children) {
  return el("details", "", el("summary", "", title), ...children);
}

function table(columns, rows) {
  const cells = (tag, row) => el("tr", "", ...row.map((cell) => el(tag, { textContent: written(cell) })));
  const made = el("table", "", el("thead", "", cells("th", columns)), el("tbody", "", ...rows.map((row) => cells("td", row))));
  return el("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": columns.join(", ") }, made);
}
