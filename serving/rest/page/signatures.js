// What a model takes and gives, by the names, dtypes and shapes in its metadata.

/** Read the signatures of a metadata answer: those that take something, the default one first. */
function signaturesOf(metadata) {
  const found = metadata.metadata.signature_def.signature_def;
  const read = Object.entries(found).map(([name, signature]) => ({
    name,
    inputs: described(tensors(signature.inputs, signature.defaults)),
    outputs: tensors(signature.outputs),
  }));
  const rank = (one) => (one.name === "serving_default" ? "" : one.name);
  return read.filter((one) => one.inputs.length).sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** Sort inputs, which come in any order, and add to each its kind, the value that they usually have, and whether a person must give one. */
function described(inputs) {
  inputs.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  for (const input of inputs) input.kind = kindOf(input, inputs);
  for (const input of inputs) {
    input.usual = usual(input, inputs);
    input.needed = !input.optional && input.usual === undefined;
  }
  return inputs;
}

function tensors(described = {}, defaults = {}) {
  return Object.entries(described).map(([name, { dtype, tensor_shape: shape }]) => ({
    name,
    dtype: dtype.replace("DT_", "").toLowerCase(),
    shape: shape && !shape.unknown_rank ? (shape.dim || []).map((dim) => Number(dim.size)) : null,
    optional: name in defaults,
    fallback: name in defaults ? valueOf(defaults[name]) : undefined,
  }));
}

/** Read the first value of a tensor in protobuf's JSON, where numbers may be texts. */
function valueOf(tensor) {
  const [field, values] = Object.entries(tensor).find(([name, list]) => /_val$/.test(name) && list.length) || [];
  if (!field) return undefined;
  return field === "string_val" ? atob(values[0]) : field === "bool_val" ? values[0] : Number(values[0]);
}

const INTEGER = /^u?int\d+$/;
const FLOAT = /^(float|double|half|bfloat16)$/;
const TEXTS = /text|sentence|document|source|prompt|comment/i;

/** Say what a person gives for an input: photo, sound, file, text, row, line, list, number, yes or json. */
function kindOf(input, inputs) {
  const rank = input.shape ? input.shape.length : 1;
  if (input.dtype === "string" && rank <= 1) {
    // A table's column may be called "photo type": among other columns a name says nothing.
    const columns = inputs.filter((other) => other.dtype === "string" || (FLOAT.test(other.dtype) && !other.optional));
    const sure = columns.length === 1 || /_bytes$/.test(input.name);
    if (sure && /image|photo|picture|jpe?g|png/i.test(input.name)) return "photo";
    if (sure && /audio|sound|wav|speech/i.test(input.name)) return "sound";
    if (/_bytes$/.test(input.name)) return "file";
    if (sure && input.name === "row") return "row";
    return sure && TEXTS.test(input.name) ? "text" : "line";
  }
  if (input.dtype === "string" && rank === 2) return "list";
  if (rank <= 1 && input.dtype === "bool") return "yes";
  return rank <= 1 && (INTEGER.test(input.dtype) || FLOAT.test(input.dtype)) ? "number" : "json";
}

/** Return what an input usually has beside an example, as it is typed, or undefined. */
function usual({ name, kind, dtype }, inputs) {
  if (kind === "number" && INTEGER.test(dtype)) return { k: "10", patch: "0", stride: "0" }[name];
  if (kind === "list") return name === "negative" ? "" : undefined;
  const media = inputs.some((other) => ["photo", "sound"].includes(other.kind));
  return media && ["label", "fill"].includes(name) ? "" : undefined;
}

/** Choose the signature to begin with: of those with the default's outputs, the one with the most fields. */
function firstOf(signatures) {
  const names = (tensors) => tensors.map((one) => one.name).sort().join();
  const first = signatures[0];
  const same = signatures.filter(
    (one) => names(one.outputs) === names(first.outputs) && !one.inputs.some((input) => input.kind === "json"),
  );
  // Typed columns before columns of text.
  const weight = (one) => one.inputs.length + (one.inputs.some((input) => input.kind === "number") ? 0.5 : 0);
  return same.reduce((best, one) => (weight(one) > weight(best) ? one : best), first);
}

/** Return the signature that gives pictures of ids, if there is one. */
const picturesOf = (signatures) =>
  signatures.find(
    (one) => one.inputs.length === 1 && one.inputs[0].name === "id" && one.outputs.some((output) => /_bytes$/.test(output.name)),
  );
