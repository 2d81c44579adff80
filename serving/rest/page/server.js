// Requests to TensorFlow Serving's REST API.

const isFile = location.protocol === "file:";
let base = isFile
  ? new URLSearchParams(location.search).get("server") || "http://localhost:8501"
  : new URL(".", location.href).href;
base = base.replace(/\/+$/, "");

/** Return the path of a model; `which` is "", "versions/N" or "labels/L". */
const modelPath = (model, which) =>
  `/v1/models/${encodeURIComponent(model)}${which && "/" + which.split("/").map(encodeURIComponent).join("/")}`;

/** Read JSON as the server writes it: with NaN and infinities, which become null. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    const bare = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;
    return JSON.parse(text.replace(bare, (found) => (found[0] === '"' ? found : "null")));
  }
}

/** Write a request's body; NaN stands as it is, as the server reads it. */
function bodyOf(value) {
  const mark = "\u0000NaN";
  const text = JSON.stringify(value, (_, item) => (isNumber(item) && !isFinite(item) ? mark : item));
  return text.replaceAll(JSON.stringify(mark), "NaN");
}

/** Send a request; the body travels as plain text, which needs no preflight from another origin. */
async function call(path, body, signal) {
  let response;
  try {
    response = await fetch(base + path, body === undefined ? { signal } : { method: "POST", body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const hint = isFile ? " To answer a page opened from a file, the server must be started with --rest_api_enable_cors_support." : "";
    throw new Error(`No answer from ${base}.${hint}`);
  }
  let found;
  try {
    found = parsed(await response.text());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(`${base + path} answered ${response.status} and no JSON.`);
  }
  if (!response.ok) throw new Error(cleaned(found.error || `${response.status} ${response.statusText}`));
  return found;
}

/** Take the graph's own names out of a message; of a failed assertion the first part is its message. */
function cleaned(message) {
  const plain = String(message).replace(/\{\{(function_)?node [^}]*\}\}|\s*\[\[.*?\]\]/g, "").trim();
  return plain.replace(/^assertion failed: \[(.+?)\].*$/s, "$1");
}

/** Ask a signature about one example: its inputs by name to its outputs by name, without the batch axis. */
async function predicted(model, which, signature, inputs, signal) {
  const body = bodyOf(requestOf(signature.name, inputs));
  const answer = (await call(`${modelPath(model, which)}:predict`, body, signal)).outputs;
  // One output alone comes without its name.
  const only = signature.outputs.length === 1 ? signature.outputs[0].name : null;
  const named = only !== null ? { [only]: answer } : answer;
  return Object.fromEntries(Object.entries(named).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]));
}

const requestOf = (signature, inputs) =>
  signature === "serving_default" ? { inputs } : { signature_name: signature, inputs };
