/**
 * Before a page is printed, pictures that wait to come near are painted, the linear stage, at once: a browser prints as soon as its event
 * handlers return. What is needed for that is loaded when the page is at rest, and only where pictures wait.
 */

/** @import { SdzImg } from "./element.js" */

let prepared = false;

/** @param {Iterable<SdzImg>} elements all those in documents, when it is printed */
export function prepareForPrint(elements) {
  if (prepared) return;
  prepared = true;
  const idle = globalThis.requestIdleCallback ?? ((/** @type {() => void} */ task) => setTimeout(task, 200));
  const whenLoaded = document.readyState === "complete" ? Promise.resolve() : new Promise((resolve) => addEventListener("load", resolve));
  whenLoaded.then(() => idle(async () => {
    const { paintNow } = await import("./paintnow.js");
    /** @type {(() => void)[]} */
    let undo = [];
    addEventListener("beforeprint", () => {
      undo = [...elements].map((element) => element.print(paintNow));
    });
    addEventListener("afterprint", () => undo.splice(0).forEach((task) => task()));
  }));
}
