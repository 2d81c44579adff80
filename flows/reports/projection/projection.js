"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const canvas = document.getElementById("map"), card = document.getElementById("card");
  const pen = canvas.getContext("2d");
  const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f", "#b2182b", "#1b7837"];
  const state = { layout: Object.keys(data.layouts)[0], colour: Object.keys(data.colours)[0], only: null, chosen: -1, hovered: -1, matches: null, scale: 1, x: 0, y: 0 };
  const images = data.points.map((point) => {
    if (!point.mime.startsWith("image/")) return null;
    const image = new Image();
    image.onload = draw;
    image.src = `data:${point.mime};base64,${point.data}`;
    return image;
  });

  function colourOf(number) {
    const groups = data.colours[state.colour];
    return groups ? palette[groups.of[number] % palette.length] : palette[0];
  }

  function place(number) {
    const [x, y] = data.layouts[state.layout][number];
    const side = Math.min(canvas.clientWidth, canvas.clientHeight);
    const wide = canvas.clientWidth - side, high = canvas.clientHeight - side;
    // The map fills a page wider or higher than it is square, within reason.
    const stretchX = side + Math.min(wide, side), stretchY = side + Math.min(high, side);
    const margin = 24;
    return [
      ((x - 0.5) * (stretchX - 2 * margin)) * state.scale + canvas.clientWidth / 2 + state.x,
      ((y - 0.5) * (stretchY - 2 * margin)) * state.scale + canvas.clientHeight / 2 + state.y,
    ];
  }

  function size() {
    const room = Math.sqrt(canvas.clientWidth * canvas.clientHeight / data.points.length);
    return Math.max(12, Math.min(30, room * 0.5)) * Math.min(3.2, Math.pow(state.scale, 0.7));
  }

  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; paint(); });
  }

  function paint() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(document.body), ink = style.color, paper = style.backgroundColor, side = size();
    const seen = state.hovered >= 0 ? state.hovered : state.chosen;
    const order = data.points.map((_, number) => number);
    if (seen >= 0) order.push(order.splice(seen, 1)[0]);
    for (const number of order) {
      const [x, y] = place(number);
      if (!inside(x, y, side)) continue;
      pen.globalAlpha = faint(number) ? 0.12 : 1;
      const large = number === seen;
      dot(number, x, y, large ? Math.max(side * 1.5, 40) : side, large, ink);
    }
    pen.globalAlpha = 1;
    // Names are written from the one that matters most to the least; what would cover another is left out.
    const taken = [];
    if (seen >= 0 && !data.points[seen].mime) write(data.points[seen].title, ...place(seen), 9, ink, paper, taken, true);
    groupNames(paper, taken);
    data.points.forEach((point, number) => {
      if (point.mime || number === seen || faint(number)) return;
      const [x, y] = place(number);
      if (inside(x, y, side)) write(point.title, x, y, 9, ink, paper, taken, false);
    });
  }

  function inside(x, y, side) {
    return x > -side && y > -side && x < canvas.clientWidth + side && y < canvas.clientHeight + side;
  }

  function faint(number) {
    const groups = data.colours[state.colour];
    const other = state.only !== null && groups && groups.of[number] !== state.only;
    return other || (state.matches !== null && !state.matches.has(number));
  }

  function write(text, x, y, gap, ink, paper, taken, always, bold = false) {
    const family = getComputedStyle(document.body).fontFamily;
    pen.font = `${bold ? "600 14px" : "13px"} ${family}`;
    const width = pen.measureText(text).width;
    // To the right of its point, or to the left where the page ends.
    let left = bold ? x - width / 2 : x + gap + width > canvas.clientWidth ? x - gap - width : x + gap;
    left = Math.max(2, Math.min(left, canvas.clientWidth - width - 2));
    const box = [left - 2, y - 9, left + width + 2, y + 9];
    if (!always && taken.some((one) => one[0] < box[2] && box[0] < one[2] && one[1] < box[3] && box[1] < one[3])) return;
    taken.push(box);
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    pen.strokeStyle = paper;
    pen.strokeText(text, left, y + 4.5);
    pen.fillStyle = ink;
    pen.fillText(text, left, y + 4.5);
  }

  function groupNames(paper, taken) {
    const groups = data.colours[state.colour];
    if (!groups || groups.names.length < 2 || groups.names.length > 40) return;
    const members = groups.names.map(() => []);
    groups.of.forEach((group, number) => { if (!faint(number)) members[group].push(place(number)); });
    const order = groups.names.map((_, group) => group).sort((a, b) => members[b].length - members[a].length);
    const most = canvas.clientWidth < 560 ? 22 : 40;
    for (const group of order) {
      if (!members[group].length) continue;
      const [x, y] = [0, 1].map((axis) => middle(members[group].map((point) => point[axis])));
      const name = groups.names[group];
      const shown = name.length > most ? `${name.slice(0, most - 1)}…` : name;
      if (inside(x, y, 0)) write(shown, x, y, 0, palette[group % palette.length], paper, taken, false, true);
    }
  }

  function middle(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  function dot(number, x, y, side, chosen, ink) {
    const image = images[number], colour = colourOf(number), width = chosen ? 3 : 2;
    if (image && image.complete && image.naturalWidth) {
      const factor = side / Math.max(image.naturalWidth, image.naturalHeight);
      const w = image.naturalWidth * factor, h = image.naturalHeight * factor;
      pen.fillStyle = chosen ? ink : colour;
      pen.fillRect(x - w / 2 - width, y - h / 2 - width, w + 2 * width, h + 2 * width);
      pen.drawImage(image, x - w / 2, y - h / 2, w, h);
      return;
    }
    pen.beginPath();
    pen.arc(x, y, chosen ? 8 : 5, 0, 7);
    pen.fillStyle = colour;
    pen.fill();
  }

  function show(number) {
    state.chosen = number;
    state.hovered = -1;
    describe(number);
  }

  function hover(number) {
    if (number === state.hovered) return;
    state.hovered = number;
    describe(number >= 0 ? number : state.chosen);
  }

  function describe(number) {
    card.hidden = number < 0;
    const old = card.querySelector("img, audio");
    if (old) old.remove();
    const text = card.querySelector("span");
    text.replaceChildren();
    if (number >= 0) {
      const point = data.points[number];
      if (point.mime) {
        const kind = point.mime.startsWith("audio/") ? "audio" : "img";
        const media = document.createElement(kind);
        if (kind === "audio") media.controls = true; else media.alt = point.title;
        media.src = `data:${point.mime};base64,${point.data}`;
        card.prepend(media);
      }
      const title = document.createElement("b");
      title.textContent = point.title;
      text.append(title);
      const lines = [...point.lines];
      for (const [name, groups] of Object.entries(data.colours)) {
        const group = groups.names[groups.of[number]];
        lines.push(group.startsWith(name) ? group : `${name}: ${group}`);
      }
      for (const line of lines) {
        const row = document.createElement("div");
        row.textContent = line;
        text.append(row);
      }
    }
    draw();
  }

  function choose(box, title, names, key, then) {
    const place = document.getElementById(box);
    if (names.length < 2) return;
    place.append(title);
    for (const name of names) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-pressed", String(state[key] === name));
      button.onclick = () => {
        state[key] = name;
        for (const other of place.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
        then();
      };
      place.append(button);
    }
  }

  function legend() {
    const place = document.getElementById("legend"), groups = data.colours[state.colour];
    place.replaceChildren();
    state.only = null;
    if (!groups) return;
    groups.names.forEach((name, number) => {
      const button = document.createElement("button"), mark = document.createElement("i");
      button.type = "button";
      mark.style.background = palette[number % palette.length];
      button.append(mark, name);
      button.setAttribute("aria-pressed", "false");
      button.onclick = () => {
        state.only = state.only === number ? null : number;
        [...place.children].forEach((other, at) => other.setAttribute("aria-pressed", String(state.only === at)));
        draw();
      };
      place.append(button);
    });
    draw();
  }

  function zoom(factor, x, y) {
    const wanted = Math.min(40, Math.max(0.5, state.scale * factor)), real = wanted / state.scale;
    const middleX = x - canvas.clientWidth / 2, middleY = y - canvas.clientHeight / 2;
    state.x = middleX - (middleX - state.x) * real;
    state.y = middleY - (middleY - state.y) * real;
    state.scale = wanted;
    draw();
  }

  function nearest(x, y) {
    let best = -1, least = Math.max(22, size() * 0.8) ** 2;
    data.points.forEach((_, number) => {
      const [px, py] = place(number), far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) { best = number; least = far; }
    });
    return best;
  }

  function wordsOf(number) {
    const groups = Object.values(data.colours).map((one) => one.names[one.of[number]]);
    return [data.points[number].title, ...groups].join("\n").toLowerCase();
  }

  const search = document.getElementById("search"), count = document.getElementById("count");
  search.oninput = () => {
    const text = search.value.trim().toLowerCase();
    state.matches = text ? new Set(data.points.map((_, number) => number).filter((number) => wordsOf(number).includes(text))) : null;
    count.textContent = state.matches ? `${state.matches.size} of ${data.points.length}` : "";
    draw();
  };
  search.onkeydown = (event) => {
    if (event.key === "Escape") { search.value = ""; search.oninput(); }
    if (event.key !== "Enter" || !state.matches || !state.matches.size) return;
    // The next match after the one that is shown, brought to the middle.
    const found = [...state.matches], next = found.find((number) => number > state.chosen) ?? found[0];
    const [x, y] = place(next);
    state.x += canvas.clientWidth / 2 - x;
    state.y += canvas.clientHeight / 2 - y;
    show(next);
  };

  const fingers = new Map();
  let moved = 0;
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    if (fingers.size === 1) moved = 0;
  };
  canvas.onpointermove = (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") hover(nearest(...at(event)));
      return;
    }
    const now = at(event);
    if (fingers.size === 1) {
      state.x += now[0] - before[0];
      state.y += now[1] - before[1];
      moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    } else {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const grown = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
      zoom(grown, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      moved = 99;
    }
    fingers.set(event.pointerId, now);
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    const there = fingers.delete(event.pointerId);
    if (there && moved < 8 && event.type === "pointerup") show(nearest(...at(event)));
  };
  canvas.onpointerleave = () => hover(-1);
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), ...at(event)); }, { passive: false });
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }, step = steps[event.key];
    if (step) { state.x += step[0]; state.y += step[1]; draw(); }
    if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.3 : 1 / 1.3, canvas.clientWidth / 2, canvas.clientHeight / 2);
    if (event.key === "Escape") show(-1);
  };
  document.getElementById("close").onclick = () => show(-1);
  document.getElementById("fit").onclick = () => { state.scale = 1; state.x = state.y = 0; draw(); };
  choose("layouts", "Map", Object.keys(data.layouts), "layout", draw);
  choose("colours", "Colour", Object.keys(data.colours), "colour", legend);
  legend();
  new ResizeObserver(draw).observe(canvas);
})();
