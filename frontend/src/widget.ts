/** The module that shows everything: an anywidget's `render`, and `standalone` for outputs without a living widget. */

import { Chat } from "./chat.ts";
import { connectStandalone, connectWidget, hold, linkOf } from "./chats.ts";
import { showHtml } from "./html.ts";
import type { Model } from "./kernel.ts";
import { mount, place } from "./mount.ts";
import { findServer, SharedLink } from "./server.ts";
import { poolView } from "./views/pool.ts";
import type { Options, Snapshot, ViewName } from "./wire.ts";

const VIEWS: readonly string[] = ["transcript", "composer", "diff", "usage"];

function viewName(value: unknown): ViewName {
  return VIEWS.includes(value as string) ? (value as ViewName) : "transcript";
}

let boxes: CSSStyleSheet | undefined;

/** Lets a widget share a box with others: as wide as there is room, and able to shrink, unless its layout says how wide. */
function fit(element: HTMLElement): void {
  if (!boxes) {
    boxes = new CSSStyleSheet();
    boxes.replaceSync(".coder-nb-widget { width: calc(100% - 2 * var(--jp-widgets-margin, 2px)); min-width: 0; }");
    document.adoptedStyleSheets.push(boxes);
  }
  element.classList.add("coder-nb-widget");
}

/** Shows the warm agents, which are no chat's. */
function renderPool({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const link = linkOf(model);
  const first = ((model.get("snapshot") ?? {}) as Snapshot).pool ?? [];
  fit(el);
  const unmount = place(el, "pool", {}, (root) => poolView(root, first, link));
  return () => {
    unmount();
    void link.then((one) => one.close());
  };
}

/** Shows an ipywidget's view; returns what ends it. */
function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  if (model.get("view") === "pool") return renderPool({ model, el });
  const text = (name: string) => (typeof model.get(name) === "string" ? (model.get(name) as string) : "");
  const snapshot = () => (model.get("snapshot") ?? {}) as Snapshot;
  const { chat, release } = hold(text("chat_id") || snapshot().chat?.id || "");
  const seed = () => chat.seed(snapshot());
  seed();
  fit(el);
  const unmount = mount(el, chat, viewName(model.get("view")), text("turn_id"), (model.get("options") ?? {}) as Options);
  model.on("change:snapshot", seed);
  const connected = connectWidget(chat, model);
  return () => {
    model.off("change:snapshot", seed);
    unmount();
    void connected.then((disconnect) => disconnect());
    release();
  };
}

export interface Standalone {
  /** Takes over a newer snapshot of the same output. */
  update(snapshot: Snapshot): void;
  dispose(): void;
}

/** Shows a saved snapshot, live where the page's server knows its chat. */
export function standalone(element: HTMLElement, snapshot: Snapshot): Standalone {
  if (typeof snapshot.html === "string") {
    const shown = showHtml(element, snapshot.html);
    return { update: (newer) => shown.update(newer.html ?? ""), dispose: () => shown.dispose() };
  }
  const { chat, release } = hold(snapshot.chat?.id ?? "");
  chat.seed(snapshot);
  const unmount = mount(element, chat, viewName(snapshot.view), snapshot.turn_id ?? "", snapshot.options ?? {});
  void connectStandalone(chat);
  return {
    update: (newer) => chat.seed(newer),
    dispose() {
      unmount();
      release();
    },
  };
}

/** Shows the chat that a link leads to, to look at; the page of a link calls it. */
export function look(element: HTMLElement, secret: string): () => void {
  const server = findServer();
  const chat = new Chat("shared");
  const unmount = mount(element, chat, "transcript", "", { max_height: "none" });
  if (server) chat.connect(new SharedLink(server, secret));
  return () => {
    chat.disconnect();
    unmount();
  };
}

export default { render };
