// Drawings: on a photo, over a spectrogram, as bars, notes and strips.

const PALETTE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#7f8cff", "#ffffff"];
/** Bright enough for dark photos; the legend has the same. */
const FOR = [0, 140, 255], AGAINST = [230, 100, 0];

/** Show a picture as wide as there is room, at most so many pixels high. */
function stage(picture, aspect, label) {
  const made = el("div", { className: "stage", role: "img", "aria-label": label }, picture);
  Object.assign(made.style, { aspectRatio: String(aspect), maxWidth: `${Math.round(480 * aspect)}px` });
  return made;
}

const photoStage = (photo, label) =>
  stage(el("img", { src: photo.src, alt: "" }), photo.naturalWidth / photo.naturalHeight, label);

/** Draw shapes [{ path, color, tag, at }] in the photo's own pixels, a dark line below a bright one. */
function marked(photo, shapes, label) {
  const [wide, high] = [photo.naturalWidth, photo.naturalHeight];
  const drawing = svg("svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const made = photoStage(photo, label);
  made.append(drawing);
  for (const { path, color, tag, at, wide: thick = 2.5 } of shapes) {
    const lines = [["#000", thick + 2.5], [PALETTE[color % PALETTE.length], thick]];
    drawing.append(...lines.map(([stroke, width]) => svg("path", { d: path, stroke, "stroke-width": width, "stroke-linecap": "round" })));
    if (!tag) continue;
    const [left, top] = [Math.min(at[0] / wide, 0.92), at[1] / high];
    const note = placed(el("span", "tag", tag), { left, top });
    if (top > 0.08) note.style.transform = "translateY(-115%)";
    made.append(note);
  }
  return made;
}

/** Paint cells [rows][columns] to a canvas, `color` giving red, green, blue and alpha of each. */
function painted(cells, color) {
  const [height, width] = [cells.length, cells[0].length];
  const canvas = el("canvas", { width, height });
  const data = new ImageData(width, height);
  cells.forEach((row, y) => row.forEach((value, x) => data.data.set(color(value), 4 * (y * width + x))));
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}

const transposed = (cells) => cells[0].map((_, column) => cells.map((row) => row[column]));
/** Bring time to the right and frequency upwards. */
const asSpectrum = (cells) => transposed(cells).reverse();

/** Paint what speaks for a label blue, and what speaks against it orange. */
function heat(cells) {
  const most = largest(cells.flat()) || 1;
  return painted(cells, (value) => [...(value < 0 ? AGAINST : FOR), 235 * (Math.abs(value || 0) / most)]);
}

function spectrogram(cells) {
  const values = cells.flat(), low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  return painted(asSpectrum(cells), (value) => [...Array(3).fill(255 * ((value - low) / (high - low || 1))), 255]);
}

/** Lay a heatmap over a stage, with a slider for its strength. */
function withHeat(under, cells, place, below = "") {
  const over = placed(heat(cells), place);
  over.className = "over";
  under.append(over);
  const slider = el("input", { type: "range", min: 0, max: 100, value: 75 });
  slider.oninput = () => (over.style.opacity = slider.value / 100);
  slider.oninput();
  const negative = cells.flat().some((value) => value < 0);
  return el("figure", "", under, below, el("label", "", "Strength of the heatmap", slider), legend(negative));
}

const axis = (...texts) => el("div", "axis", ...texts.map((text) => el("span", "", text)));

/** List texts with a bar for each number between -1 and 1. */
function bars(rows, shownFirst = 10) {
  const line = ([text, value]) => {
    const bar = el("i", { className: value < 0 ? "against" : "" });
    bar.style.width = `${Math.min(100, 100 * Math.abs(value))}%`;
    return el("li", "", el("span", { dir: "auto" }, text), el("span", { className: "bar", "aria-hidden": "true" }, bar), el("span", "number", written(value)));
  };
  const list = (part) => el("ul", { className: "bars", role: "list" }, ...part.map(line));
  const rest = rows.slice(shownFirst);
  return el("div", "", list(rows.slice(0, shownFirst)), rest.length ? folded(`${rest.length} more`, list(rest)) : null);
}

const KEYS = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
const keyName = (pitch) => `${KEYS[Math.round(pitch) % 12]}${Math.floor(Math.round(pitch) / 12) - 1}`;

/** Draw notes [{ onset, offset, pitch, velocity }] over time. */
function pianoRoll(notes) {
  const pitches = notes.map((note) => note.pitch);
  const low = Math.min(...pitches) - 2, high = Math.max(...pitches) + 3, end = Math.max(...notes.map((note) => note.offset), 0.1);
  const loudest = Math.max(...notes.map((note) => note.velocity ?? 0)) || 1;
  const made = svg("svg", { viewBox: `0 0 ${end} ${high - low}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const row = (pitch) => high - pitch - 1;
  for (let key = Math.ceil(low); key < high; key++) {
    if (KEYS[((key % 12) + 12) % 12].length > 1) made.append(svg("rect", { x: 0, y: row(key), width: end, height: 1, class: "key" }));
    if (key % 12 === 0) made.append(svg("line", { x1: 0, x2: end, y1: row(key) + 1, y2: row(key) + 1, class: "row" }));
  }
  for (const { onset, offset, pitch, velocity } of notes) {
    const strength = velocity === undefined ? 1 : 0.35 + 0.65 * (velocity / loudest);
    made.append(svg("rect", { x: onset, y: row(pitch) + 0.08, width: Math.max(offset - onset, end / 400), height: 0.84, class: "note", opacity: strength }));
  }
  const label = `${notes.length} notes from ${keyName(Math.min(...pitches))} to ${keyName(Math.max(...pitches))} in ${written(end)} seconds`;
  const drawing = el("div", { className: "roll", role: "img", "aria-label": label }, made);
  return el("figure", "", drawing, axis("0 s", `${written(end)} s`), el("figcaption", "", `${label}; lines are C`));
}

/** Draw each label's scores [windows] as a strip over time. */
function strips(names, scores, starts) {
  const rows = names.map((name, place) => [name, scores.map((window) => window[place])]);
  const highest = rows.sort((a, b) => Math.max(...b[1]) - Math.max(...a[1])).slice(0, 6);
  const drawn = highest.flatMap(([name, values]) => {
    const strip = painted([values], (value) => [...FOR, 255 * value]);
    Object.assign(strip, { role: "img", ariaLabel: `${name}: highest ${written(Math.max(...values))}` });
    return [el("span", "", name), strip];
  });
  const last = starts.at(-1) + (starts.length > 1 ? starts[1] - starts[0] : 0);
  const times = axis("0 s", `${written(last)} s`);
  return titled("Scores over time", el("div", "strip", ...drawn, el("span"), times));
}

/** Colour the cells of a matrix between two lists of texts, such as weights of attention. */
function grid(cells, rows, columns) {
  const most = largest(cells.flat()) || 1;
  const cell = (value) => {
    const made = el("td", { title: written(value) });
    made.style.setProperty("--weight", Math.abs(value) / most);
    return made;
  };
  const head = el("tr", "", el("td"), ...columns.map((text) => el("th", { scope: "col" }, el("span", "", text))));
  const body = cells.map((row, at) => el("tr", "", el("th", { scope: "row", textContent: rows[at] }), ...row.map(cell)));
  return el("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": "Matrix" }, el("table", "grid", head, ...body));
}

/** Draw a vector as bars up and down. */
function vector(values) {
  const most = largest(values) || 1;
  const path = values.map((value, at) => `M${at + 0.5} 1V${1 - value / most}`).join("");
  const drawing = svg("svg", { viewBox: `0 0 ${values.length} 2`, preserveAspectRatio: "none", class: "wave", "aria-hidden": "true" }, svg("path", { d: path, stroke: "currentColor", "stroke-width": 0.8 }));
  return el("div", "vector", drawing, axis(`${values.length.toLocaleString("en")} numbers, the largest ${written(most)}`));
}
