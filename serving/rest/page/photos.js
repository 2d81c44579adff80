// Photos: chosen, pasted or taken; sent as they are where the model reads their format.

const MAGIC = [/^\xff\xd8\xff/, /^\x89PNG/, /^GIF8/, /^BM/, /^RIFF....WEBP/s];

/** Return a photo as a model can read it: HEIC, AVIF and others become JPEG, if the browser reads them. */
async function readable(file) {
  const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  if (MAGIC.some((magic) => magic.test(start))) return file;
  const name = `${(file.name || "photo").replace(/\.[^.]*$/, "")}.jpg`;
  return new File([await jpegOf(await loaded(file))], name, { type: "image/jpeg" });
}

/** Load an image as it is displayed, turned upright. */
async function loaded(blob) {
  const image = el("img", { src: URL.createObjectURL(blob), alt: "" });
  try {
    await image.decode();
  } catch {
    throw new Error(`${blob.name || "This file"} is no photo that this browser can show.`);
  }
  return image;
}

function jpegOf(picture) {
  const [width, height] = [picture.naturalWidth || picture.videoWidth, picture.naturalHeight || picture.videoHeight];
  const canvas = el("canvas", { width, height });
  canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
}

/** Show the camera in a place; returns functions that take a photo and that stop. */
async function openCamera(place) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  const video = el("video", { srcObject: stream, muted: true, playsInline: true, "aria-label": "Camera" });
  place.replaceChildren(video);
  await video.play();
  const stop = () => stream.getTracks().forEach((track) => track.stop());
  return {
    stop,
    take: async () => {
      const photo = new File([await jpegOf(video)], "camera.jpg", { type: "image/jpeg" });
      photo.made = true;
      stop();
      return photo;
    },
  };
}

/** Give the pixels [height, width, 4] of a part of a picture, brought to a size. */
function pixelsOf(picture, width, height, [left, top, wide, high] = [0, 0, width, height]) {
  const canvas = el("canvas", { width, height });
  const pen = canvas.getContext("2d");
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, left, top, wide, high);
  return pen.getImageData(0, 0, width, height).data;
}

/**
 * Find how a photo became what the network saw: stretched, its centre cut out, or with borders. Returns the
 * place of what was seen in shares of the photo, or null where none of them fits.
 */
function placeOfSeen(photo, seen) {
  const [width, height] = [seen.naturalWidth, seen.naturalHeight];
  const [across, down] = [width / photo.naturalWidth, height / photo.naturalHeight];
  const candidates = [[across, down], [Math.max(across, down)], [Math.min(across, down)]].map(([x, y = x]) => {
    const [wide, high] = [x * photo.naturalWidth, y * photo.naturalHeight];
    return [(width - wide) / 2, (height - high) / 2, wide, high];
  });
  const wanted = pixelsOf(seen, width, height);
  const differences = candidates.map((place) => {
    const found = pixelsOf(photo, width, height, place);
    return wanted.reduce((sum, level, at) => sum + Math.abs(level - found[at]), 0) / wanted.length;
  });
  const least = Math.min(...differences);
  const [left, top, wide, high] = candidates[differences.indexOf(least)];
  return least > 24 ? null : { left: -left / wide, top: -top / high, width: width / wide, height: height / high };
}
