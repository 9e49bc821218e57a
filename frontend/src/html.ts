/** HTML of a document that anyone may have written: what it shows is shown, and nothing in it runs or loads. */

import DOMPurify from "dompurify";
import { h } from "./dom.ts";

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
    shadow.innerHTML = DOMPurify.sanitize(text, { ...options, ALLOWED_URI_REGEXP: /^data:image\//i });
  };
  update(html);
  element.append(host);
  return { update, dispose: () => host.remove() };
}
