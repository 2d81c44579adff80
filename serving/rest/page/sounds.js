// Sounds: recorded or decoded by the browser, and written as 16-bit WAV files.

const ascii = (view, at, length) => String.fromCharCode(...new Uint8Array(view.buffer, at, length));

/** Read the header of a WAV file: { rate, bits, integers }, or null for another file. */
function wavHeader(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 44 || ascii(view, 0, 4) !== "RIFF" || ascii(view, 8, 4) !== "WAVE") return null;
  for (let at = 12; at + 24 <= buffer.byteLength; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
    if (ascii(view, at, 4) !== "fmt ") continue;
    return { rate: view.getUint32(at + 12, true), bits: view.getUint16(at + 22, true), integers: view.getUint16(at + 8, true) === 1 };
  }
  return null;
}

/** Return the rate that a file of uncompressed or FLAC samples has; others do not say it in one place. */
function rateOf(buffer) {
  const header = wavHeader(buffer);
  if (header) return header.rate;
  const view = new DataView(buffer);
  if (buffer.byteLength > 42 && ascii(view, 0, 4) === "fLaC") return view.getUint32(18) >>> 12;
  return 48000;
}

const asDecoded = (buffer) => {
  const rate = Math.min(Math.max(rateOf(buffer), 3000), 384000);
  return new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer.slice(0));
};

/** Write decoded sound as a WAV file of 16 bits, at its own rate and with its channels. */
function wavFile(sound) {
  const channels = Array.from({ length: sound.numberOfChannels }, (_, number) => sound.getChannelData(number));
  const size = 2 * channels.length * sound.length;
  const view = new DataView(new ArrayBuffer(44 + size));
  const text = (at, letters) => [...letters].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, channels.length, true);
  view.setUint32(24, sound.sampleRate, true);
  view.setUint32(28, 2 * channels.length * sound.sampleRate, true);
  view.setUint16(32, 2 * channels.length, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, size, true);
  let at = 44;
  for (let place = 0; place < sound.length; place++)
    for (const samples of channels) {
      view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(samples[place] * 32768))), true);
      at += 2;
    }
  return new Blob([view], { type: "audio/wav" });
}

/** Return { blob, sound, made } of a sound file: one of 16-bit WAV as it is, any other decoded. */
async function wavOf(file) {
  const buffer = await file.arrayBuffer();
  const header = wavHeader(buffer);
  let sound;
  try {
    sound = await asDecoded(buffer);
  } catch {
    throw new Error(`${file.name || "This file"} is no sound that this browser can decode.`);
  }
  const asItIs = header && header.integers && header.bits === 16;
  return { blob: asItIs ? new Blob([buffer], { type: "audio/wav" }) : wavFile(sound), sound, made: !asItIs };
}

/** Record until the returned function is called; `done` takes the recording. */
async function record(done) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const lossless = "audio/webm;codecs=pcm";
  const recorder = new MediaRecorder(stream, MediaRecorder.isTypeSupported(lossless) ? { mimeType: lossless } : {});
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => {
    stream.getTracks().forEach((track) => track.stop());
    done(new File(parts, "recording.wav", { type: recorder.mimeType }));
  };
  recorder.start();
  return () => recorder.stop();
}

/** Draw the loudest and the quietest sample of each column. */
function waveform(sound) {
  const samples = sound.getChannelData(0), columns = 240;
  const bars = Array.from({ length: columns }, (_, column) => {
    const [from, to] = [column, column + 1].map((edge) => Math.floor((edge * samples.length) / columns));
    let low = 0, high = 0;
    for (let at = from; at < to; at++) [low, high] = [Math.min(low, samples[at]), Math.max(high, samples[at])];
    return `M${column + 0.5} ${1 - high}V${1.02 - low}`;
  });
  const path = svg("path", { d: bars.join(""), stroke: "currentColor", "stroke-width": 0.8 });
  return svg("svg", { viewBox: `0 0 ${columns} 2`, preserveAspectRatio: "none", class: "wave", "aria-hidden": "true" }, path);
}
