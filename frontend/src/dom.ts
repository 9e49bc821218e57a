/** Small ways of making DOM. Text always goes in as text; the only markup that is parsed is Markdown's, sanitised. */

import { revealed } from "./text.ts";

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** An element; attributes that are null, undefined or false are left out, `on…` functions become listeners. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "class") element.className = String(value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Node, children: Iterable<Child>): void {
  for (const child of children) {
    if (child == null || child === false) continue;
    parent.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
  }
}

/** Sets text only where it differs, so that a screen reader and a selection are left alone. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Text in which nothing can hide: invisible and reordering characters are shown as their code points. */
export function plainText(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  for (const part of revealed(text)) {
    fragment.append(
      part.code
        ? h("span", { class: "codepoint", title: "A character that cannot be seen or that reorders text" }, part.text)
        : part.text,
    );
  }
  return fragment;
}

/** The same for a sentence that quotes code between backticks: what stands between the outermost is shown as code. */
export function quotingText(text: string): DocumentFragment {
  const from = text.indexOf("`");
  const to = text.lastIndexOf("`");
  if (from === to) return plainText(text);
  const fragment = plainText(text.slice(0, from));
  fragment.append(h("code", {}, plainText(text.slice(from + 1, to))), plainText(text.slice(to + 1)));
  return fragment;
}

export function button(label: string, attributes: Attributes, ...icon: Child[]): HTMLButtonElement {
  return h("button", { type: "button", ...attributes }, ...icon, h("span", {}, label));
}

/** Runs at most once a frame, however often it is called; a hidden page is served by a timer instead. */
export function framed(work: () => void): (() => void) & { cancel(): void } {
  let frame = 0;
  let timer = 0;
  const cancel = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = timer = 0;
  };
  const run = () => {
    cancel();
    work();
  };
  const ask = () => {
    if (frame || timer) return;
    frame = requestAnimationFrame(run);
    timer = window.setTimeout(run, 500);
  };
  return Object.assign(ask, { cancel });
}
