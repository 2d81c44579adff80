// What an answer shows, told by the names and shapes of its outputs.

const numbers = (value) => listOf(value, (one) => isNumber(one) || one === null);
const texts = (value) => listOf(value, isText);
const matrices = (value) => listOf(value, numbers);
const widthOf = (value) => (matrices(value) ? value[0].length : 0);

/**
 * Show an answer's outputs; `about` has the photo, what was seen of it, the player, and `pictures` of ids.
 *
 * Each part pulls the outputs that it shows, and leaves the others to those after it.
 */
function shownAnswer(outputs, about) {
  const left = cutToCount(outputs);
  const pull = (...names) => names.map((name) => {
    const value = left[name];
    delete left[name];
    return value;
  });
  const find = (pattern, test) => Object.keys(left).find((name) => pattern.test(name) && test(left[name]));
  const parts = [heatmap, boxes, points, notes, spoken, tokens, headline, windows, neighbours, pairs, matrix, media, facts, vectors];
  const made = parts.flatMap((part) => part({ outputs, left, pull, find, ...about }) || []).filter(Boolean);
  // The headline first, wherever its turn came.
  return made.sort((a, b) => b.classList.contains("headline") - a.classList.contains("headline"));
}

/** Leave out the rows beyond `count`, where an answer has one: they only fill it up. */
function cutToCount(outputs) {
  const { count } = outputs;
  const lengths = Object.values(outputs).filter((value) => Array.isArray(value) && value.length >= count).map((list) => list.length);
  const often = (length) => lengths.filter((other) => other === length).length;
  const full = lengths.sort((a, b) => often(b) - often(a))[0];
  const cut = (value) => (Array.isArray(value) && value.length === full ? value.slice(0, count) : value);
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, cut(value)]));
}

const headed = (text, ...small) => el("p", "headline", text, ...small);
const counted = (list, noun) => `${list.length} ${noun}${list.length === 1 ? "" : "s"}`;

function heatmap({ outputs, pull, find, photo, seen }) {
  const name = find(/heat/, matrices);
  if (!name) return null;
  const [map, rows, columns, decibels, seconds, hertz] = pull(name, "rows", "columns", "decibels", "seconds", "hertz");
  pull("patch", "stride", "seen_bytes", "box");
  const cells = map.slice(0, rows).map((row) => row.slice(0, columns));
  const whole = { width: 1, height: 1 };
  if (matrices(decibels)) {
    const under = stage(spectrogram(decibels), 2.4, "Spectrogram with the heatmap over it");
    const times = numbers(seconds) ? axis("0 s", `low below, up to ${written(largest(hertz))} Hz`, `${written(largest(seconds))} s`) : "";
    return withHeat(under, asSpectrum(cells), whole, times);
  }
  const place = photo && (seen ? placeOfSeen(photo, seen) : whole);
  if (place) return withHeat(photoStage(photo, "The photo with the heatmap over it"), cells, place);
  const under = seen ? photoStage(seen, "What the network saw, with the heatmap over it") : stage("", cells[0].length / cells.length, "Heatmap");
  return withHeat(under, cells, whole);
}

function boxes({ pull, find, photo }) {
  const name = find(/box/, (value) => widthOf(value) === 4 || (Array.isArray(value) && !value.length));
  if (!name) return null;
  const [places, labels = [], scores = [], classes = []] = pull(name, "labels", "scores", "classes", "count");
  const title = counted(places, "object");
  const shapes = places.map(([left, top, right, bottom], at) => ({
    path: `M${left} ${top}H${right}V${bottom}H${left}Z`,
    color: classes[at] ?? at,
    tag: at < 25 ? `${labels[at] ?? ""} ${written(scores[at])}` : "",
    at: [left, top],
  }));
  const drawn = photo && marked(photo, shapes.reverse(), `The photo with ${title}`);
  const rows = places.map((box, at) => [labels[at] ?? "", scores[at], ...box.map(Math.round)]);
  return [headed(title), drawn, listed("object", ["score", "left", "top", "right", "bottom"], rows)];
}

function points({ pull, find, photo }) {
  const name = find(/point/, (value) => widthOf(value) === 2);
  if (!name) return null;
  const [places, names = [], scores = []] = pull(name, "names", "scores");
  const shapes = places.map(([x, y], at) => ({
    path: `M${x} ${y}h0.001`,
    wide: 10,
    color: at,
    tag: places.length <= 20 ? names[at] : "",
    at: [x, y],
  }));
  const drawn = photo && marked(photo, shapes, `The photo with ${counted(places, "point")}`);
  const rows = places.map(([x, y], at) => [names[at] ?? at + 1, x, y, scores[at] ?? ""]);
  return [drawn, listed("point", ["x", "y", "score"], rows)];
}

/** A table of places in a photo, folded where it is long. */
function listed(noun, columns, rows) {
  if (!rows.length) return null;
  const made = table([noun, ...columns], rows);
  return rows.length > 8 ? folded(`All ${counted(rows, noun)}, in pixels`, made) : made;
}

function notes({ pull, find }) {
  const names = [/onset/, /offset/, /pitch/, /velocit/].map((pattern) => find(pattern, Array.isArray));
  if (names.slice(0, 3).some((name) => !name)) return null;
  const [onsets, offsets, pitches, velocities] = pull(...names);
  pull(find(/roll/, matrices), "count");
  const found = onsets.map((onset, at) => ({ onset, offset: offsets[at], pitch: pitches[at], velocity: velocities?.[at] }));
  const rows = found.map((note) => [keyName(note.pitch), note.onset, note.offset, note.velocity ?? ""]);
  const list = folded("List of the notes", table(["note", "onset, s", "offset, s", "velocity"], rows));
  return [headed(counted(found, "note")), ...(found.length ? [pianoRoll(found), list] : [])];
}

/** Words with the times at which they were spoken: a press plays from there. */
function spoken({ left, pull, find, player }) {
  const names = [find(/word|token|text/, texts), find(/start|begin/, numbers), find(/end/, numbers)];
  if (names.some((name) => !name) || left[names[1]].length < left[names[0]].length) return null;
  const [words, starts, ends] = pull(...names, "count");
  const made = words.map((word, at) => {
    const onclick = () => player && Object.assign(player, { currentTime: starts[at] }).play();
    const times = el("small", "", `${starts[at].toFixed(2)} to ${ends[at].toFixed(2)} s`);
    return word ? el("li", "", el("button", { type: "button", onclick }, word, times)) : null;
  });
  return el("ol", { className: "spoken", "aria-label": "Words with their times" }, ...made);
}

const legend = (negative) =>
  el("figcaption", "", el("i", "legend"), "speaks for the label", ...(negative ? [el("i", "legend against"), "speaks against it"] : []));

function tokens({ left, pull }) {
  if (!texts(left.tokens) || !numbers(left.change)) return null;
  const [words, change] = pull("tokens", "change");
  const most = largest(change) || 1;
  const read = words.map((word, at) => [word, change[at]]).filter(([word]) => word !== "");
  const line = read.flatMap(([word, value]) => {
    const token = el("span", { className: value < 0 ? "against" : "", title: written(value) }, word);
    token.style.setProperty("--weight", Math.abs(value) / most);
    return [token, " "];
  });
  const strongest = read.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  return [
    el("figure", "", el("p", { className: "tokens", dir: "auto" }, ...line), legend(true)),
    folded("How the score falls when a word is left out", table(["word", "change"], strongest)),
  ];
}

function headline({ left, pull, find }) {
  const [known] = pull("known");
  if (known === false) {
    const [unknown] = pull("unknown", "words", "similarities", "similarity");
    return headed(`Not in the vocabulary${unknown ? `: ${unknown}` : ""}`);
  }
  const filled = (value) => isText(value) && value !== "";
  const name = ["label", "text", "translation", "word"].find((one) => filled(left[one])) || find(/^(?!missing$|unknown$)/, filled);
  if (name) {
    const sure = ["score", "confidence", "probability"].find((one) => isNumber(left[one]));
    const [text, share] = pull(name, sure);
    const made = headed(text, sure ? el("small", "", `${plain(sure)} ${written(share)}`) : null);
    made.dir = "auto";
    made.classList.toggle("long", text.length > 60);
    return made;
  }
  if (isNumber(left.cluster)) return headed(`cluster ${pull("cluster")[0]}`);
  if (isNumber(left.similarity)) return headed(written(pull("similarity")[0]), el("small", "", "similarity"));
  if (!isNumber(left.value)) return null;
  const [value, names] = pull("value", "names", "values");
  return headed(written(value), el("small", "", names?.[0] ?? "value"));
}

function windows({ outputs, left, pull, find }) {
  const names = [find(/window.*scores/, matrices), find(/window.*starts/, numbers)];
  const { labels } = outputs;
  if (names.some((name) => !name) || !texts(labels) || widthOf(left[names[0]]) !== labels.length) return null;
  const [scores, starts, count = scores.length] = pull(...names, "windows");
  return count > 1 ? strips(labels, scores.slice(0, count), starts.slice(0, count)) : null;
}

/** Neighbours of which a signature gives pictures: thumbnails, filled in as they come. */
function neighbours({ left, pull, pictures }) {
  if (!texts(left.ids) || !pictures) return null;
  const [ids, paths = ids, scores = []] = pull("ids", "paths", "scores");
  const items = ids.map((id, at) => ({ id, path: paths[at], score: scores[at], image: el("img", { alt: paths[at] }) })).filter(({ id }) => id !== "");
  pictures(items.map(({ id }) => id)).then((sources) => sources.forEach((src, at) => src && (items[at].image.src = src)), fail);
  const lines = items.map(({ path, score, image }) => el("li", "", image, el("b", "", written(score)), el("span", "", path)));
  return el("ol", { className: "thumbs", "aria-label": "Neighbours, the nearest first" }, ...lines);
}

const PAIRS = [["labels", "scores"], ["names", "values"], ["names", "scores"], ["words", "similarities"], ["paths", "scores"], ["ids", "scores"]];

/** Texts and numbers that belong together: bars where these are between -1 and 1, else a table. */
function pairs({ left, pull, find }) {
  const fit = ([a, b]) => texts(left[a]) && numbers(left[b]) && left[a].length === left[b].length;
  const pair = PAIRS.find(fit) || [[find(/^/, texts), find(/^/, numbers)]].find(fit);
  if (!pair) return null;
  const [named, values] = pull(...pair, ...(pair[0] === "paths" ? ["ids"] : []));
  const rows = named.map((text, at) => [text, values[at]]).filter(([text]) => text !== "");
  const shares = pair[1] !== "values" && rows.every(([, value]) => Math.abs(value) <= 1.0001);
  if (shares) return rows.length ? bars(rows.sort((a, b) => b[1] - a[1])) : null;
  return table(pair.map((name) => plain(name).replace(/s$/, "")), rows);
}

/** A matrix, with the texts that are as many as its rows and its columns. */
function matrix({ left, pull, find }) {
  const name = find(/^/, matrices);
  if (!name) return null;
  const [cells] = pull(name);
  const named = (length) => Object.values(left).filter((value) => texts(value) && value.length === length);
  const [rows, columns] = [named(cells.length).at(-1), named(cells[0].length)[0]];
  const made = rows && columns && rows.length * columns.length < 4000
    ? grid(cells, rows, columns)
    : stage(heat(cells), Math.min(4, Math.max(0.5, cells[0].length / cells.length)), plain(name));
  return titled(name, made);
}

const titled = (name, ...made) => el("figure", "", el("h3", "", plain(name)), ...made);

const MEDIA = [[/^\/9j\//, "image/jpeg"], [/^iVBOR/, "image/png"], [/^R0lGO/, "image/gif"], [/^UklGR/, "audio/wav"]];

function blobOf(base64, type) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });
}

function media({ left, pull }) {
  const names = Object.keys(left).filter((name) => left[name] && isText(left[name].b64));
  return names.map((name) => {
    const [{ b64 }] = pull(name);
    const type = MEDIA.find(([start]) => start.test(b64))?.[1];
    if (!type) return titled(name, `${size((b64.length * 3) / 4)} of bytes`);
    const src = URL.createObjectURL(blobOf(b64, type));
    return titled(name, type === "audio/wav" ? el("audio", { src, controls: true }) : el("img", { src, alt: plain(name) }));
  });
}

function facts({ left, pull }) {
  const names = Object.keys(left).filter((name) => ["string", "number", "boolean"].includes(typeof left[name]) && left[name] !== "");
  const shown = ([value]) => (value === true ? "yes" : value === false ? "no" : written(value));
  const rows = names.map((name) => el("div", "", el("dt", "", plain(name)), el("dd", "", shown(pull(name)))));
  return rows.length ? el("dl", "facts", ...rows) : null;
}

function vectors({ left }) {
  const found = Object.entries(left).filter(([, value]) => numbers(value));
  return found.map(([name, value]) => titled(name, value.length > 8 ? vector(value) : el("p", "", value.map(written).join(", "))));
}
