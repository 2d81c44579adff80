// The fields of a signature: each has an element, and says whether it is filled and what it sends.

/** What the fields of a model hold stays when another of its signatures asks for the same. */
const fields = new Map();

function fieldOf(input, ask) {
  const key = `${input.kind} ${input.name} ${input.dtype} ${input.shape}`;
  if (!fields.has(key)) fields.set(key, FIELDS[input.kind](input, ask));
  return fields.get(key);
}

const idOf = (input) => `field-${input.name}`;
const wide = (input) => ["photo", "sound", "file", "text", "row", "json", "list"].includes(input.kind);

function labelled(input, made, note) {
  const hint = note && el("small", { className: "label", id: `${idOf(input)}-note` }, note);
  if (hint) made.setAttribute("aria-describedby", hint.id);
  return el("div", wide(input) ? "wide" : "", el("label", { htmlFor: idOf(input) }, plain(input.name)), made, hint);
}

/** Make a field of one control, whose text is read into a value. */
function typed(input, control, read, note = "") {
  Object.assign(control, { id: idOf(input), autocomplete: "off", value: input.usual ?? "" });
  return {
    element: labelled(input, control, note),
    filled: () => control.value.trim() !== "",
    value: () => read(control.value),
    focus: () => control.focus(),
  };
}

const line = () => el("input", { dir: "auto", spellcheck: false, autocapitalize: "off" });

const FIELDS = {
  text(input, ask, note) {
    const submit = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && (event.preventDefault(), ask());
    return typed(input, el("textarea", { rows: 5, dir: "auto", onkeydown: submit }), (text) => text, note);
  },
  line: (input) => typed(input, line(), (text) => text),
  row: (input, ask) => FIELDS.text(input, ask, "A line of CSV, with the cells in the table's order"),
  list(input) {
    const size = input.shape[1];
    const read = (text) => {
      const words = text.split(/[,\n]|\s{2,}/).map((word) => word.trim()).filter(Boolean);
      if (size > 0 && words.length !== size) throw new Error(`${plain(input.name)} takes ${size} entries separated by commas.`);
      return words.length ? words : [""];
    };
    return typed(input, line(), read, "Entries separated by commas");
  },
  number(input) {
    const whole = INTEGER.test(input.dtype);
    const placeholder = input.needed ? (whole ? "" : "missing") : "the model's own";
    const control = el("input", { type: "number", step: whole ? 1 : "any", inputMode: whole ? "numeric" : "decimal", placeholder });
    return typed(input, control, (text) => (text === "" ? (whole ? 0 : NaN) : Number(text)));
  },
  yes(input) {
    const control = el("input", { type: "checkbox" });
    return { ...typed(input, control, () => control.checked), filled: () => true };
  },
  json(input) {
    const shape = input.shape ? input.shape.slice(1).map((size) => (size < 0 ? "any" : size)).join(" x ") : "any shape";
    const read = (text) => {
      try {
        return parsed(text);
      } catch {
        throw new Error(`${plain(input.name)} is not a JSON list.`);
      }
    };
    return typed(input, el("textarea", { rows: 3, spellcheck: false }), read, `JSON list, ${input.dtype} ${shape}`);
  },
  photo: (input, ask) => filed(input, ask, { accept: "image/*", noun: "photo", read: readPhoto, device: cameraButton }),
  sound: (input, ask) => filed(input, ask, { accept: "audio/*,.wav,.flac,.mp3,.ogg,.m4a", noun: "sound", read: readSound, device: recordButton }),
  file: (input, ask) => filed(input, ask, { accept: "", noun: "file", read: async (file) => ({ blob: file, name: file.name, preview: [] }) }),
};

async function readPhoto(file) {
  const blob = await readable(file);
  const image = await loaded(blob);
  image.alt = "The photo that is sent";
  return { blob, name: blob.name || "photo.png", photo: image, preview: [image], made: blob !== file || file.made };
}

async function readSound(file) {
  const { blob, sound, made } = await wavOf(file);
  const name = `${file.name.replace(/\.[^.]*$/, "")}.wav`;
  const player = el("audio", { src: URL.createObjectURL(blob), controls: true, "aria-label": "The sound that is sent" });
  return { blob, name, player, preview: [waveform(sound), player], made };
}

const inBase64 = (blob) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });

/** Make a field that takes a file: dropped, pasted, chosen, or from a camera or microphone. */
function filed(input, ask, { accept, noun, read, device }) {
  const chooser = el("input", { type: "file", id: idOf(input), accept, className: "unseen" });
  const preview = el("div", "buttons"), words = el("p");
  const button = el("label", { className: "button", htmlFor: chooser.id }, `Choose a ${noun}`);
  const element = el("div", { className: "drop wide", role: "group", "aria-label": plain(input.name) }, preview, words, el("div", "buttons", chooser, button));
  const field = { element, filled: () => Boolean(field.sent), value: () => ({ b64: field.base64 }), focus: () => chooser.focus() };
  const empty = () => {
    field.sent = null;
    preview.replaceChildren();
    words.textContent = `Drop a ${noun} here, or paste one`;
  };
  field.take = async (file) => {
    try {
      empty();
      const found = await read(file);
      field.base64 = await inBase64(found.blob);
      field.sent = found;
      preview.replaceChildren(...found.preview);
      words.textContent = `${found.name}, ${size(found.blob.size)}`;
      await ask();
    } catch (error) {
      fail(error);
    }
  };
  const takeFirst = (files) => files[0] && field.take(files[0]);
  chooser.onchange = () => takeFirst(chooser.files);
  chooser.onclick = () => (chooser.value = ""); // so that the same file can be chosen again
  element.ondragover = () => element.classList.add("over");
  element.ondragleave = () => element.classList.remove("over");
  element.ondrop = (event) => {
    element.classList.remove("over");
    takeFirst(event.dataTransfer.files);
  };
  empty();
  if (device && navigator.mediaDevices) element.lastChild.append(device(field, preview));
  return field;
}

const size = (bytes) => (bytes < 1e6 ? `${written(bytes / 1e3)} kB` : `${written(bytes / 1e6)} MB`);

/** Make a button that starts a device at the first press, and takes what it gives at the second. */
function deviceButton(first, second, start, finish) {
  let running = null;
  const made = el("button", { type: "button" }, first);
  made.onclick = async () => {
    try {
      const current = running;
      running = current ? null : await start();
      made.textContent = current ? first : second;
      if (current) await finish(current);
    } catch (error) {
      fail(new Error(`The browser allows no access: ${error.message}`));
    }
  };
  return made;
}

const cameraButton = (field, place) =>
  deviceButton("Use the camera", "Take the photo", () => openCamera(place), async ({ take }) => field.take(await take()));

const recordButton = (field) =>
  deviceButton("Record", "Stop and send", () => record((file) => field.take(file)), (stop) => stop());

addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  const open = [...fields.values()].find((field) => field.take && field.element.isConnected);
  if (file && open) open.take(file);
});
// A file that misses its place would replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
