/**
 * How data reaches a view: from the page's server by REST and a socket, or from the kernel by comm messages.
 *
 * Both are a `Link`: calls of the routes in docs/protocol.md, and frames from a cursor on, reconnecting by itself.
 */

import { type Frame, WireError } from "./wire.ts";

export type Method = "GET" | "POST" | "DELETE";

export interface Link {
  readonly kind: "server" | "kernel";
  call<T>(method: Method, route: string, body?: unknown): Promise<T>;
  /** Follows a chat until `close`; each connection starts after the cursor that `after` gives then. */
  follow(chatId: string, reader: Reader): { close(): void };
  close(): void;
}

export interface Reader {
  after(): number | null;
  frames(frames: Frame[]): void;
  /** `down` while there is no connection; `gone` when there will be none, with the reason. */
  status(status: "up" | "down" | "gone", why?: string): void;
}

/** The newest entries that a view asks for first. */
export const TAIL = 200;
/** How often a visible page says that somebody is there who may answer permissions, in milliseconds. */
export const ATTEND_EVERY = 15_000;

/** The answer of a call, or the error that it is. */
export function settle<T>(status: number, answer: unknown): T {
  if (status >= 200 && status < 300) return answer as T;
  const error = (answer ?? {}) as { code?: unknown; message?: unknown; details?: unknown };
  const message = typeof error.message === "string" && error.message ? error.message : `The request failed with status ${status}.`;
  throw new WireError(status, typeof error.code === "string" ? error.code : "error", message, error.details);
}
