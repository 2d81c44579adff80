// The page: which model, which question, and the way of a request.

const state = { model: "", which: "", signatures: [], signature: null, waiting: null };

function fail(error) {
  if (error.name === "AbortError") return;
  $("problem").textContent = error.message;
  $("problem").hidden = false;
  tell("");
}

const tell = (text) => ($("status").textContent = text);

function clear() {
  state.waiting?.abort();
  $("shown").replaceChildren();
  for (const id of ["problem", "raw", "request"]) $(id).hidden = true;
}

/** Read the address: #NAME, #NAME/versions/N or #NAME/labels/L, as in the server's own paths. */
function fromAddress() {
  const [model, kind, which] = location.hash.slice(1).replace(/%(?![\da-f]{2})/gi, "%25").split("/").map(decodeURIComponent);
  return { model, which: which ? `${kind}/${which}` : "" };
}

function goTo(model, which = "") {
  location.hash = [model, ...which.split("/").filter(Boolean)].map(encodeURIComponent).join("/");
}

/** List the models; TensorFlow Serving cannot: there the name is typed. */
const modelsListed = () => call("/models.json").then(({ models }) => models, () => null);

/** Open the model that the address names. */
async function open() {
  clear();
  $("form").replaceChildren();
  $("signatures").hidden = true;
  const turn = (state.turn = {});
  const models = await modelsListed();
  if (turn !== state.turn) return; // another model was chosen meanwhile
  const address = fromAddress();
  const model = address.model || models?.[0]?.name || "";
  if (model !== state.model) fields.clear();
  Object.assign(state, { model, which: address.which, signature: null });
  offerModels(models, model);
  choices($("version"), []);
  document.title = model ? `${model} - Servable` : "Servable";
  if (!model) return tell(models ? "This server has no model yet." : "Type the name of a model.");
  tell("Reading what the model takes ...");
  try {
    const known = models?.find((one) => one.name === model);
    if (models && !known) throw new Error(`This server has no model ${model}.`);
    const status = await call(modelPath(model, ""));
    if (turn !== state.turn) return;
    offerVersions(status.model_version_status, known?.labels || {});
    const metadata = await call(`${modelPath(model, state.which)}/metadata`);
    if (turn !== state.turn) return;
    offerSignatures(signaturesOf(metadata));
    tell("");
  } catch (error) {
    fail(error);
  }
}

const choices = (select, options, chosen) =>
  select.replaceChildren(...options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));

function offerModels(models, model) {
  const names = new Set((models || []).map((one) => one.name));
  if (model) names.add(model);
  $("model").hidden = !models;
  $("typed").hidden = Boolean(models);
  $("typed").value = model;
  choices($("model"), [...names].map((name) => [name, name]), model);
}

function offerVersions(all, labels) {
  const ready = all.filter((one) => one.state === "AVAILABLE").map(({ version }) => [`versions/${version}`, `version ${version}`]);
  const options = [["", "current"], ...ready];
  options.push(...Object.entries(labels).map(([label, version]) => [`labels/${label}`, `${label} (version ${version})`]));
  if (!options.some(([value]) => value === state.which)) options.push([state.which, state.which.replace("/", " ")]);
  choices($("version"), options, state.which);
}

/** Offer the signatures that a person can fill in; those of arrays only where there is no other. */
function offerSignatures(described) {
  const simple = described.filter((one) => one.inputs.every((input) => input.kind !== "json"));
  state.signatures = simple.length ? simple : described;
  if (!described.length) throw new Error(`${state.model} has no signature that takes an input.`);
  const first = firstOf(state.signatures);
  const made = state.signatures.map((signature) => {
    const onchange = () => choose(signature) && ask();
    const choice = el("input", { type: "radio", name: "signature", className: "unseen", checked: signature === first, onchange });
    return el("label", "button", choice, signature.name === "serving_default" ? "predict" : plain(signature.name));
  });
  $("signatures").hidden = made.length < 2;
  $("signatures").lastElementChild.replaceChildren(...made);
  choose(first);
}

const fieldsOf = (signature) => signature.inputs.map((input) => [input, fieldOf(input, ask)]);

/** Show the fields of a signature; returns whether all that it needs is filled. */
function choose(signature) {
  clear();
  tell("");
  state.signature = signature;
  const made = fieldsOf(signature);
  const needed = made.filter(([input]) => input.needed), further = made.filter(([input]) => !input.needed);
  const rows = (part) => el("div", "fields", ...part.map(([, field]) => field.element));
  const options = further.length ? folded("Options", rows(further)) : "";
  if (options) options.open = !needed.length || further.some(([input]) => input.name === "k" || input.optional);
  $("form").replaceChildren(rows(needed), options, el("div", "", el("button", { type: "submit" }, "Ask")));
  return needed.every(([, field]) => field.filled());
}

/** Give the value of every input, as it is sent and as commands show it. */
function given(signature) {
  const all = fieldsOf(signature), needed = all.filter(([input]) => input.needed);
  const empty = needed.filter(([, field]) => !field.filled());
  // In a row, empty cells are missing values; but one of them must be there.
  const mayMiss = needed.every(([{ kind, dtype }]) => kind === "line" || (kind === "number" && FLOAT.test(dtype)));
  if (empty.length && (!mayMiss || empty.length === needed.length)) {
    empty[0][1].focus();
    throw new Error(`Enter a value for ${plain(empty[0][0].name)}.`);
  }
  const sent = {}, shown = {};
  for (const [input, field] of all) {
    const value = input.optional && !field.filled() ? input.fallback : field.value();
    if (value === undefined) continue;
    sent[input.name] = [value];
    shown[input.name] = [field.sent ? { file: field.sent.name } : value];
  }
  return { sent, shown, files: all.map(([, field]) => field.sent).filter(Boolean) };
}

async function ask() {
  const { model, which, signature } = state;
  if (!signature) return;
  clear();
  const waiting = (state.waiting = new AbortController());
  try {
    const { sent, shown, files } = given(signature);
    tell("Waiting for the answer ...");
    showRequest(shown, files);
    const started = performance.now();
    const outputs = await predicted(model, which, signature, sent, waiting.signal);
    const took = performance.now() - started;
    const seen = await seenBy(outputs, files);
    if (waiting.signal.aborted) return;
    show(outputs, files, seen);
    tell(`Answered in ${took < 1000 ? `${Math.round(took)} ms` : `${written(took / 1000)} s`}.`);
    $("status").append(el("span", "unseen", ` ${document.querySelector(".headline")?.textContent ?? ""}`));
    // On a phone the answer lies below the input.
    if (innerWidth < 800) $("answer").scrollIntoView();
  } catch (error) {
    fail(error);
  }
}

/** Load what the network saw of a photo, if the answer has it. */
async function seenBy({ seen_bytes: bytes }, files) {
  return bytes && files.some((one) => one.photo) ? loaded(blobOf(bytes.b64, "image/png")) : null;
}

function show(outputs, files, seen) {
  const { photo } = files.find((one) => one.photo) || {}, { player } = files.find((one) => one.player) || {};
  $("shown").replaceChildren(...shownAnswer(outputs, { photo, player, seen, pictures: pictures() }));
  const text = JSON.stringify(outputs, null, 1);
  $("raw").lastElementChild.textContent = text.length > 30000 ? `${text.slice(0, 30000)} ...` : text;
  $("raw").hidden = false;
}

/** Return what asks for the pictures of ids, if the model has any. */
function pictures() {
  const path = `${modelPath(state.model, state.which)}:predict`, signature = picturesOf(state.signatures);
  return signature && (async (ids) => {
    const { outputs } = await call(path, bodyOf(requestOf(signature.name, { id: ids })));
    const found = Array.isArray(outputs) ? outputs : Object.values(outputs)[0];
    return found.map(({ b64 }) => b64 && URL.createObjectURL(blobOf(b64, "image/jpeg")));
  });
}

function showRequest(inputs, files) {
  const url = `${base}${modelPath(state.model, state.which)}:predict`;
  const request = requestOf(state.signature.name, inputs);
  $("curl").textContent = curlOf(url, request);
  $("python").textContent = pythonOf(url, request);
  const made = files.filter((one) => one.made);
  $("resend").replaceChildren(...made.map(({ blob, name }) => el("a", { href: URL.createObjectURL(blob), download: name }, `Save ${name} as it was sent`)));
  $("resend").hidden = !made.length;
  $("request").hidden = false;
}

$("form").onsubmit = (event) => (event.preventDefault(), ask());
$("choice").onsubmit = (event) => event.preventDefault();
$("model").onchange = () => goTo($("model").value);
$("typed").onchange = () => goTo($("typed").value.trim());
$("version").onchange = () => goTo(state.model, $("version").value);
$("server-field").hidden = !isFile;
$("server").value = $("where").textContent = base;
$("server").onchange = () => {
  base = $("where").textContent = $("server").value.trim().replace(/\/+$/, "");
  open();
};
$("skip").onclick = (event) => (event.preventDefault(), $("question").focus());
for (const button of document.querySelectorAll(".code button")) button.onclick = () => copied(button);
onhashchange = open;
open();
