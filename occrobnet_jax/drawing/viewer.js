// Rotatable 3D scenes on plain canvases: drag turns, ctrl + wheel (or two fingers) zooms, double click resets.
// A scene is {groups: [{name, dashed, lines: [[x0, y0, z0, x1, y1, z1, colour], ...]}, ...]}, millimetres in camera
// axes (x right, y down, z away), as the JSON script inside each <figure class="viewer">.
"use strict";

const START = { yaw: 0.45, pitch: -0.3, zoom: 1 };

function boundsOf(groups) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const group of groups)
    for (const line of group.lines)
      for (let i = 0; i < 6; i++) {
        low[i % 3] = Math.min(low[i % 3], line[i]);
        high[i % 3] = Math.max(high[i % 3], line[i]);
      }
  const centre = low.map((value, i) => (value + high[i]) / 2);
  return { centre, radius: Math.max(20, Math.hypot(...high.map((value, i) => value - low[i])) / 2) };
}

function turnedPoint(point, centre, view) {
  const [x, y, z] = point.map((value, i) => value - centre[i]);
  const [sinY, cosY] = [Math.sin(view.yaw), Math.cos(view.yaw)];
  const [sinP, cosP] = [Math.sin(view.pitch), Math.cos(view.pitch)];
  const [x1, z1] = [cosY * x + sinY * z, -sinY * x + cosY * z];
  return [x1, cosP * y - sinP * z1, sinP * y + cosP * z1];
}

function draw(canvas, scene, bounds, view, visible) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const distance = 4 * bounds.radius;
  const scale = (0.46 * Math.min(width, height) * view.zoom) / bounds.radius;
  const onScreen = (point) => {
    const [x, y, z] = turnedPoint(point, bounds.centre, view);
    const nearness = distance / (distance + z);
    return [width / 2 + x * scale * nearness, height / 2 + y * scale * nearness, z, nearness];
  };
  const lines = [];
  scene.groups.forEach((group, index) => {
    if (!visible[index]) return;
    for (const line of group.lines) {
      const a = onScreen(line.slice(0, 3)), b = onScreen(line.slice(3, 6));
      lines.push({ a, b, colour: line[6], dashed: group.dashed, depth: (a[2] + b[2]) / 2 });
    }
  });
  lines.sort((first, second) => second.depth - first.depth);
  context.lineCap = "round";
  for (const { a, b, colour, dashed, depth } of lines) {
    context.globalAlpha = (dashed ? 0.55 : 1) * (1 - 0.35 * Math.max(0, depth / bounds.radius));
    context.strokeStyle = colour;
    context.fillStyle = colour;
    context.lineWidth = (dashed ? 1.6 : 3.4) * a[3];
    context.setLineDash(dashed ? [4, 4] : []);
    context.beginPath();
    context.moveTo(a[0], a[1]);
    context.lineTo(b[0], b[1]);
    context.stroke();
    if (!dashed) {
      context.beginPath();
      context.arc(b[0], b[1], 3.1 * b[3], 0, 2 * Math.PI);
      context.fill();
    }
  }
  drawScale(context, height, scale);
}

function drawScale(context, height, scale) {
  const length = 50 * scale;
  context.globalAlpha = 1;
  context.setLineDash([]);
  context.strokeStyle = context.fillStyle = "#888";
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(12, height - 12);
  context.lineTo(12 + length, height - 12);
  context.stroke();
  context.font = "11px system-ui, sans-serif";
  context.fillText("5 cm", 12, height - 18);
}

function followPointers(canvas, view, redraw) {
  const pointers = new Map();
  let spread = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    spread = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (pointers.size === 1) {
      view.yaw -= (event.clientX - before[0]) * 0.01;
      view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + (event.clientY - before[1]) * 0.01));
    } else {
      const [first, second] = [...pointers.values()];
      const now = Math.hypot(first[0] - second[0], first[1] - second[1]);
      if (spread) view.zoom *= now / spread;
      spread = now;
    }
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // a page must stay scrollable
    event.preventDefault();
    view.zoom *= Math.exp(-event.deltaY * 0.002);
    redraw();
  }, { passive: false });
}

function startViewer(figure) {
  const canvas = figure.querySelector("canvas");
  const scene = JSON.parse(figure.querySelector("script").textContent);
  const bounds = boundsOf(scene.groups);
  const view = { ...START };
  const visible = scene.groups.map(() => true);
  const redraw = () => draw(canvas, scene, bounds, view, visible);
  const controls = figure.querySelector(".groups");
  scene.groups.forEach((group, index) => {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    box.addEventListener("change", () => { visible[index] = box.checked; redraw(); });
    label.append(box, ` ${group.name}${group.dashed ? " (thin)" : ""}`);
    controls.append(label);
  });
  followPointers(canvas, view, redraw);
  canvas.addEventListener("dblclick", () => { Object.assign(view, START); redraw(); });
  new ResizeObserver(redraw).observe(canvas);
}

document.querySelectorAll("figure.viewer").forEach(startViewer);
