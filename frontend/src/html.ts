/** HTML of a document that anyone may have written: what it shows is shown, and nothing in it runs or loads. */

import createPurifier from "dompurify";
import { h } from "./dom.ts";

/** What in a style would load something, also where it is written by escapes; the styles of ours do without. */
const LOADS = /url|image|src|@import|\\/i;
let purifier: ReturnType<typeof createPurifier> | undefined;

function purify(): ReturnType<typeof createPurifier> {
  if (purifier) return purifier;
  purifier = createPurifier(window);
  purifier.addHook("uponSanitizeElement", (node, { tagName }) => {
    if (tagName === "style" && LOADS.test(node.textContent ?? "")) node.textContent = "";
  });
  purifier.addHook("uponSanitizeAttribute", (_, attribute) => {
    if (attribute.attrName === "style" && LOADS.test(attribute.attrValue)) attribute.keepAttr = false;
  });
  return purifier;
}

export interface Shown {
  update(html: string): void;
  dispose(): void;
}

/** Puts HTML into an element of its own, with its own styles. */
export function showHtml(element: HTMLElement, html: string): Shown {
  const host = h("div", { class: "coder-nb-html" });
  const shadow = host.attachShadow({ mode: "open" });
  const update = (text: string) => {
    const options = { USE_PROFILES: { html: true }, ADD_TAGS: ["style"], FORBID_TAGS: ["form", "input", "iframe"], FORCE_BODY: true };
    shadow.innerHTML = purify().sanitize(text, { ...options, ALLOWED_URI_REGEXP: /^data:image\//i });
  };
  update(html);
  element.append(host);
  return { update, dispose: () => host.remove() };
}
