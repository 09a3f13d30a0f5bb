/**
 * Upgrades <img data-sdz="a.sdz">: the element stays an <img>, so style sheets, alt, context menus and assistive technology work as before.
 * Follows the attributes, also in shadow trees: a new data-sdz is loaded, and a new src alone is shown, as on any <img>. What is done to an image
 * is in upgrade.js, which is loaded where there is one.
 */

/** @import { Upgrade } from "./upgrade.js" */

const MARK = "img[data-sdz]";

/** Attributes whose change is a new picture. */
const SOURCES = ["data-sdz", "data-sdz-srcset", "data-stage", "data-realism"];

/** Attributes that are changed here, and by the page's author. */
const SHOWN = ["src", "srcset"];

/** The attributes that say how long a picture waits, and how wide it is. */
const [WAIT, WIDTH] = ["loading", "sizes"];

/** Images, once they are upgraded; null before. @type {WeakMap<Node, Upgrade | null>} */
const upgraded = new WeakMap();

/** @param {Element} element */
async function upgrade(element) {
  const image = /** @type {HTMLImageElement} */ (element);
  if (upgraded.has(image)) return;
  upgraded.set(image, null);
  try {
    const { Upgrade } = await import("./upgrade.js");
    upgraded.set(image, new Upgrade(image));
  } catch (error) {
    // set again, it is tried again
    upgraded.delete(image);
    image.dispatchEvent(new CustomEvent("sdzerror", { detail: { code: "NetworkError", message: String(error) } }));
  }
}

/** Roots whose images are followed. @type {WeakSet<Node>} */
const roots = new WeakSet();

/** @type {MutationObserver | undefined} */
let observer;

/** All marked images below a node, also those added later, and in the open shadow trees there are. @param {Document | ShadowRoot | Element} node */
function follow(node) {
  if (node instanceof Element && node.matches(MARK)) upgrade(node);
  for (const image of node.querySelectorAll(MARK)) upgrade(image);
  const elements = document.createTreeWalker(node, NodeFilter.SHOW_ELEMENT);
  for (let element = /** @type {Node | null} */ (node); element; element = elements.nextNode()) {
    if (element instanceof Element && element.shadowRoot) observe(element.shadowRoot);
  }
}

/** @param {Document | ShadowRoot} root */
function observe(root) {
  if (roots.has(root)) return;
  roots.add(root);
  observer?.observe(root, { childList: true, subtree: true, attributeFilter: [...SOURCES, ...SHOWN, WAIT, WIDTH] });
  follow(root);
}

/** @param {MutationRecord[]} records */
function handle(records) {
  /** @type {Map<Node, Set<string>>} */
  const changes = new Map();
  for (const { type, target, addedNodes, attributeName } of records) {
    for (const node of addedNodes) if (node instanceof Element) follow(node);
    if (type === "attributes") changes.set(target, (changes.get(target) ?? new Set()).add(String(attributeName)));
  }
  for (const [target, names] of changes) {
    const known = upgraded.get(target);
    if (!known) {
      if (target instanceof Element && target.matches(MARK)) upgrade(target);
      continue;
    }
    const changed = known.changed();
    if (SOURCES.some((name) => names.has(name))) known.follow();
    else if (changed) known.restore();
    else if (names.has(WAIT)) known.hasten();
    else if (names.has(WIDTH)) known.resize();
  }
}

/** Upgrades all marked images of the page, also those added, marked or changed later, and those in shadow trees. */
export function watch() {
  observer = new MutationObserver(handle);
  observe(document);
  // an observer does not see into shadow trees, and closed ones cannot be found afterwards
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (init) {
    const root = attach.call(this, init);
    if (this.localName !== "sdz-img") observe(root);
    return root;
  };
}
