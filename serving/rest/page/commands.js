// The same request for a shell and for Python: files are read from where they lie.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const isFileValue = (value) => value && isText(value.file);

function curlOf(url, request) {
  const paths = [];
  const marked = bodyOf(request).replace(/\{"file":("(?:[^"\\]|\\.)*")\}/g, (_, path) => {
    paths.push(JSON.parse(path));
    return '{"b64": "\u0000"}';
  });
  if (!paths.length) return `curl -s -d ${quoted(marked)} ${quoted(url)}`;
  const form = marked.replaceAll("\\", "\\\\").replaceAll("%", "%%").replaceAll("\u0000", "%s");
  const contents = paths.map((path) => `"$(base64 < ${quoted(path)} | tr -d '\\n')"`);
  return `printf ${quoted(form)} ${contents.join(" ")} | curl -s -d @- ${quoted(url)}`;
}

function literal(value) {
  if (isFileValue(value)) return `{"b64": b64encode(Path(${JSON.stringify(value.file)}).read_bytes()).decode()}`;
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (value && typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item)}`).join(", ")}}`;
  if (value === true || value === false) return value ? "True" : "False";
  return isNumber(value) && isNaN(value) ? 'float("nan")' : JSON.stringify(value);
}

function pythonOf(url, request) {
  const reads = JSON.stringify(request).includes('{"file":');
  return [
    "import json",
    "import urllib.request",
    ...(reads ? ["from base64 import b64encode", "from pathlib import Path"] : []),
    "",
    `request = ${literal(request)}`,
    `url = ${JSON.stringify(url)}`,
    "with urllib.request.urlopen(url, json.dumps(request).encode()) as answer:",
    '    print(json.load(answer)["outputs"])',
  ].join("\n");
}

/** Copy the text beside a button; without a secure context it is selected, for the reader's own keys. */
async function copied(button) {
  const text = button.nextElementSibling;
  const done = await navigator.clipboard?.writeText(text.textContent).then(() => "Copied", () => null);
  if (!done) getSelection().selectAllChildren(text);
  button.textContent = done || "Selected";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
