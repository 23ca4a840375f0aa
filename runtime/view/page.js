const run = JSON.parse(document.getElementById("run").textContent);
const [video, mask, slider, text] = ["video", "#mask", "input", "output"].map(name => document.querySelector(name));
const last = run.seconds.length - 1;
let current = -1;

// The last frame whose time is not after `seconds`.
function frameAt(seconds) {
  let low = 0, high = last;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (run.seconds[middle] <= seconds) low = middle; else high = middle - 1;
  }
  return low;
}

// The place of a frame on the axis of the charts, from 0 to 1.
function place(frame) {
  return last ? (run.seconds[frame] - run.seconds[0]) / (run.seconds[last] - run.seconds[0] || 1) : 0;
}

function setMask(image, frame) { image.src = "data:image/png;base64," + run.masks[frame]; }

function show(frame) {
  if (frame === current) return;
  current = frame;
  slider.value = frame;
  // Of a long run not every mask is in the page: the latest one before the frame.
  let shown = frame;
  while (!(shown in run.masks)) shown--;
  setMask(mask, shown);
  mask.alt = "mask of frame " + shown;
  const steadiness = run.steadiness[frame];
  text.textContent = `frame ${frame}/${last}, ${run.seconds[frame].toFixed(2)} s, `
    + `area ${(100 * run.areas[frame]).toFixed(1)}%` + (steadiness === null ? "" : `, steadiness ${steadiness.toFixed(3)}`);
  document.querySelectorAll(".cursor").forEach(line => {
    for (const end of ["x1", "x2"]) line.setAttribute(end, 1000 * place(frame));
  });
}

// Halfway to the next frame, because a time at the edge of two frames may be rounded to the one before.
function seek(frame) {
  show(frame);
  if (!video) return;
  video.pause();
  const before = Math.min(frame, Math.max(0, last - 1)), gap = run.seconds[Math.min(before + 1, last)] - run.seconds[before];
  video.currentTime = run.seconds[frame] + run.delay + gap / 2;
}

function follow() { show(frameAt(video.currentTime - run.delay)); }

slider.oninput = () => seek(Number(slider.value));
document.querySelectorAll("[data-step]").forEach(button => button.onclick = () =>
  seek(Math.min(last, Math.max(0, current + Number(button.dataset.step)))));
document.querySelectorAll("[data-frame]").forEach(button => {
  const frame = Number(button.dataset.frame);
  button.onclick = () => { seek(frame); document.querySelector(".views").scrollIntoView({block: "nearest"}); };
  button.querySelectorAll("img").forEach((image, index) => setMask(image, frame - 1 + index));
});
document.querySelectorAll(".chart").forEach(chart => {
  chart.onpointerdown = chart.onpointermove = event => {
    if (!event.buttons && event.type !== "pointerdown") return;
    const box = chart.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    seek(frameAt(run.seconds[0] + share * (run.seconds[last] - run.seconds[0])));
  };
});
if (video) {
  const embedded = document.getElementById("video");
  if (embedded) {  // as a blob: Safari plays no video from a data URI
    const bytes = Uint8Array.from(atob(embedded.textContent), character => character.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], {type: embedded.dataset.type}));
    embedded.remove();
  }
  video.onseeked = () => { if (video.paused) follow(); };
  video.onplay = function each() { if (!video.paused) { follow(); requestAnimationFrame(each); } };
}
show(0);
const linked = /^#frame=(\d+)$/.exec(location.hash);
if (linked) seek(Math.min(last, Number(linked[1])));
