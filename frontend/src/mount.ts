/** Puts a view of a chat into an element: a shadow root of its own, in the page's theme. */

import type { Chat } from "./chat.ts";
import { h } from "./dom.ts";
import css from "./styles.css";
import { followTheme } from "./theme.ts";
import { composerView } from "./views/composer.ts";
import { diffView } from "./views/diff.ts";
import { tellSeen } from "./views/seen.ts";
import { transcriptView } from "./views/transcript.ts";
import { usageView } from "./views/usage.ts";
import type { Options, ViewName } from "./wire.ts";

const NARROW = 560;

let sheet: CSSStyleSheet | undefined;

/** Shows a view of the whole chat, or of one turn; returns how to take it away again. */
export function mount(element: HTMLElement, chat: Chat, view: ViewName, turnId: string, options: Options): () => void {
  return place(element, view, options, (root, host) => {
    const hide = show(root, chat, view, turnId, options);
    if (view !== "transcript") return hide;
    const unsee = tellSeen(host, chat, turnId);
    return () => {
      hide();
      unsee();
    };
  });
}

/** Puts something into a host of its own, in the page's theme; returns how to take it away again. */
export function place(element: HTMLElement, view: string, options: Options, fill: (root: HTMLElement, host: HTMLElement) => () => void): () => void {
  const host = h("div", { class: "coder-nb-view" });
  const shadow = host.attachShadow({ mode: "open" });
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
  }
  shadow.adoptedStyleSheets = [sheet];
  const height = options.max_height;
  if (height != null) host.style.setProperty("--max-height", typeof height === "number" ? `${height}px` : height);
  const root = h("div", { class: `view view-${view}` });
  shadow.append(root);
  const undo = [followTheme(host), followWidth(host), keepKeys(host), fill(root, host)];
  element.append(host);
  return () => {
    for (const one of undo) one();
    host.remove();
  };
}

function show(root: HTMLElement, chat: Chat, view: ViewName, turnId: string, options: Options): () => void {
  switch (view) {
    case "composer":
      return composerView(root, chat);
    case "diff":
      return diffView(root, chat, turnId);
    case "usage":
      return usageView(root, chat, turnId);
    default:
      return transcriptView(root, chat, turnId, options);
  }
}

/** Marks a view that has little room, as beside others in a box; a container query would let it collapse there. */
function followWidth(host: HTMLElement): () => void {
  const observer = new ResizeObserver(([entry]) => {
    const width = entry?.contentRect.width ?? 0;
    if (width > 0) host.toggleAttribute("data-narrow", width < NARROW);
  });
  observer.observe(host);
  return () => observer.disconnect();
}

/**
 * While the focus is in a view, plain keys are the view's: in command mode the notebook would take "d d" as "delete this
 * cell". Chords such as saving still reach it, except the one that sends a prompt.
 */
function keepKeys(host: HTMLElement): () => void {
  const decide = (event: KeyboardEvent) => {
    const chord = (event.ctrlKey || event.metaKey) && event.key !== "Enter";
    host.toggleAttribute("data-lm-suppress-shortcuts", !chord);
    if (!chord) host.setAttribute("data-lm-suppress-shortcuts", "true");
  };
  // On the window and in the capture phase, because the notebook listens on the document in that phase.
  const start = () => window.addEventListener("keydown", decide, true);
  const stop = () => window.removeEventListener("keydown", decide, true);
  host.addEventListener("focusin", start);
  host.addEventListener("focusout", stop);
  return stop;
}
