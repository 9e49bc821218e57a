/** The chats of this page: all views of one chat share it, and with it one connection. */

import { Chat } from "./chat.ts";
import { isId } from "./ids.ts";
import { KernelLink, type Model } from "./kernel.ts";
import { findServer, ServerLink, serverHealth } from "./server.ts";
import type { Link } from "./transport.ts";
import { type ChatInfo, WireError } from "./wire.ts";

interface Held {
  readonly chat: Chat;
  users: number;
  /** The widgets through which the kernel can be reached, the latest last. */
  readonly models: Model[];
}

const held = new Map<string, Held>();

/** The chat of an id, shared until everyone who holds it has released it. */
export function hold(chatId: string): { chat: Chat; release(): void } {
  const found = held.get(chatId) ?? { chat: new Chat(chatId), users: 0, models: [] };
  held.set(chatId, found);
  found.users++;
  let released = false;
  return {
    chat: found.chat,
    release() {
      if (released) return;
      released = true;
      if (--found.users > 0) return;
      held.delete(chatId);
      found.chat.disconnect();
    },
  };
}

/** Whom a widget asks: the page's server where that is the kernel's runtime too, else null, which is the kernel. */
async function serverOf(model: Model): Promise<ReturnType<typeof findServer>> {
  const health = await serverHealth();
  return health && health.runtime_id === model.get("runtime_id") ? findServer() : null;
}

/** The link of a widget that shows no chat. */
export async function linkOf(model: Model): Promise<Link> {
  const server = await serverOf(model);
  return server ? new ServerLink(server) : new KernelLink(model);
}

/** Connects a widget's chat: to the page's server where that is the kernel's runtime too, else through the kernel. */
export async function connectWidget(chat: Chat, model: Model): Promise<() => void> {
  const server = await serverOf(model);
  if (server) {
    if (chat.linkedBy !== "server" || chat.connection === "gone") chat.connect(new ServerLink(server));
    return () => {};
  }
  const models = held.get(chat.id)?.models ?? [];
  models.push(model);
  chat.connect(new KernelLink(model));
  return () => {
    const current = models.at(-1) === model;
    models.splice(models.indexOf(model), 1);
    const next = models.at(-1);
    if (current && next) chat.connect(new KernelLink(next));
    else if (current) chat.disconnect();
  };
}

/** Connects a chat that was found in a document, if the page's server knows it; else it stays as it was saved. */
export async function connectStandalone(chat: Chat): Promise<void> {
  // The id comes out of a file that anyone may have written: nothing else of it decides where a request goes.
  if (!isId(chat.id) || !(await serverHealth())) return;
  const server = findServer();
  if (!server || chat.linkedBy) return;
  const link = new ServerLink(server);
  try {
    await link.call<ChatInfo>("GET", `chats/${chat.id}`);
  } catch (error) {
    if (error instanceof WireError) return;
    throw error;
  }
  if (!chat.linkedBy && held.get(chat.id)?.chat === chat) chat.connect(link);
}
