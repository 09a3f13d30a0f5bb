/**
 * A photo's own page: walks to its neighbours by arrows and swipes, zooms, pans, fills the screen. Takes the page's links, hands on nothing;
 * what the panel "How this was sent" shows is loaded when it is opened.
 */

const MOST = 8;
/** How far a double click goes in. */
const CLOSER = 2.5;
/** CSS pixels after which a touch is a swipe, and the share of them that it may stray. */
const SWIPE = 60;
const STRAY = 0.6;

const view = /** @type {HTMLElement} */ (document.querySelector(".view"));
const frame = /** @type {HTMLElement} */ (view.querySelector(".frame"));
const picture = /** @type {HTMLElement} */ (view.querySelector(".picture"));
const full = /** @type {HTMLButtonElement} */ (document.querySelector(".full"));
const how = /** @type {HTMLDetailsElement} */ (document.querySelector(".how"));

let zoom = 1;
let x = 0;
let y = 0;

/** Shows the picture at `zoom`, moved by `x` and `y` CSS pixels, which stay within its edges. */
function place() {
  const room = { x: Math.max(0, (picture.offsetWidth * zoom - frame.offsetWidth) / 2), y: Math.max(0, (picture.offsetHeight * zoom - frame.offsetHeight) / 2) };
  x = Math.min(room.x, Math.max(-room.x, x));
  y = Math.min(room.y, Math.max(-room.y, y));
  picture.style.transform = zoom === 1 ? "" : `translate(${x}px, ${y}px) scale(${zoom})`;
  frame.toggleAttribute("data-zoomed", zoom !== 1);
  if (zoom > 1) enlarge();
}

/** Asks for a file that has the pixels which are shown now, where there is one. */
function enlarge() {
  const image = picture.querySelector("sdz-img, img[srcset]");
  const width = Math.ceil(picture.offsetWidth * zoom);
  if (width <= Number.parseInt(image?.getAttribute("sizes") ?? "0")) return;
  image?.setAttribute("sizes", `${width}px`);
}

/**
 * Zooms to `wanted` so that what is under a point of the window stays there.
 * @param {number} wanted @param {{clientX: number, clientY: number}} [at]
 */
function zoomTo(wanted, at) {
  const before = zoom;
  zoom = Math.min(MOST, Math.max(1, wanted));
  const box = frame.getBoundingClientRect();
  const dx = at ? at.clientX - box.left - box.width / 2 : 0;
  const dy = at ? at.clientY - box.top - box.height / 2 : 0;
  x = dx - ((dx - x) * zoom) / before;
  y = dy - ((dy - y) * zoom) / before;
  place();
}

/** @param {"prev" | "next"} rel */
function walk(rel) {
  const link = /** @type {HTMLAnchorElement | null} */ (view.querySelector(`a[rel=${rel}]`));
  if (link) location.assign(link.href);
}

function fill() {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void view.requestFullscreen();
}

/** Where a page is read from right to left, what comes next lies to the left. */
const [LEFT, RIGHT] = /** @type {("prev" | "next")[]} */ (document.dir === "rtl" ? ["next", "prev"] : ["prev", "next"]);

/** @type {Record<string, () => void>} */
const KEYS = {
  ArrowLeft: () => (zoom > 1 ? ((x += 80), place()) : walk(LEFT)),
  ArrowRight: () => (zoom > 1 ? ((x -= 80), place()) : walk(RIGHT)),
  "+": () => zoomTo(zoom * 1.5),
  "=": () => zoomTo(zoom * 1.5),
  "-": () => zoomTo(zoom / 1.5),
  0: () => zoomTo(1),
  f: () => document.fullscreenEnabled && fill(),
  Escape: () => {
    if (zoom > 1) zoomTo(1);
    else if (how.open) how.open = false;
    else location.assign(new URL(/** @type {string} */ (view.dataset.up), document.baseURI));
  },
};

addEventListener("keydown", (event) => {
  const within = /** @type {Element} */ (event.target);
  // a slider and a group of buttons have arrows of their own
  if (event.ctrlKey || event.metaKey || event.altKey || (event.key !== "Escape" && within.closest?.("input, select, textarea"))) return;
  // the browser leaves full screen by itself
  if (event.key === "Escape" && document.fullscreenElement) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

frame.addEventListener("dblclick", (event) => zoomTo(zoom > 1 ? 1 : CLOSER, event));
frame.addEventListener(
  "wheel",
  (event) => {
    // a plain wheel scrolls the page, until the picture is larger than its frame
    if (!event.ctrlKey && zoom === 1) return;
    event.preventDefault();
    zoomTo(zoom * Math.exp(-event.deltaY / 300), event);
  },
  { passive: false },
);

/** Fingers, or the mouse's button, by their number. @type {Map<number, PointerEvent>} */
const down = new Map();
/** @type {PointerEvent | undefined} */
let began;

/** @returns {number} the distance of two fingers */
const spread = () => {
  const [a, b] = [...down.values()];
  return a && b ? Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) : 0;
};

frame.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || /** @type {Element} */ (event.target).closest("a")) return;
  began = down.size ? undefined : event;
  down.set(event.pointerId, event);
  if (zoom > 1 || down.size > 1) frame.setPointerCapture(event.pointerId);
});
frame.addEventListener("pointermove", (event) => {
  const last = down.get(event.pointerId);
  if (!last) return;
  const before = spread();
  down.set(event.pointerId, event);
  if (down.size === 2) zoomTo((zoom * spread()) / before, event);
  else if (zoom > 1) {
    x += event.clientX - last.clientX;
    y += event.clientY - last.clientY;
    place();
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  frame.addEventListener(end, (event) => {
    const last = /** @type {PointerEvent} */ (event);
    down.delete(last.pointerId);
    const start = began;
    began = undefined;
    if (end !== "pointerup" || !start || start.pointerId !== last.pointerId || zoom > 1 || last.pointerType === "mouse") return;
    const [across, along] = [last.clientX - start.clientX, last.clientY - start.clientY];
    if (Math.abs(across) >= SWIPE && Math.abs(along) < STRAY * Math.abs(across)) walk(across > 0 ? LEFT : RIGHT);
  });
}
addEventListener("resize", place);

full.hidden = !document.fullscreenEnabled;
full.addEventListener("click", fill);

/** Loads what the panel looks like, once. */
function dress() {
  how.dataset.styling = "";
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: how.dataset.sheet });
  // one that is lost leaves the figures readable
  sheet.onload = sheet.onerror = () => how.removeAttribute("data-styling");
  // a theme's own sheet stays behind it
  document.querySelector("link[rel=stylesheet]")?.after(sheet);
}

let dressed = false;

/** Loads the panel's sheet and what it does. */
const open = () => {
  if (!how.open) return;
  if (!dressed) dress();
  dressed = true;
  if (how.querySelector("canvas")) void import("./photo.js");
};
how.addEventListener("toggle", open);
open();
