/** The page's server: calls by REST, frames by a socket that reconnects by itself. */

import { ATTEND_EVERY, type Link, type Method, type Reader, settle, TAIL } from "./transport.ts";
import { type Frame, type Health, PROTOCOL, WireError } from "./wire.ts";

const RECONNECT_MIN = 250;
const RECONNECT_MAX = 5000;
/** The code by which a socket is closed whose link leads nowhere (any more). */
const NOWHERE = 4404;
/** The code where as many follow chats as may; the reason says what to do. */
const TOO_MANY = 4429;

interface PageServer {
  base: string;
  token: string;
}

let pageServer: PageServer | null | undefined;

/** Where the page's Jupyter server is, from the page's own configuration; null where the page has none. */
export function findServer(): PageServer | null {
  if (pageServer !== undefined) return pageServer;
  let base = document.body?.dataset["baseUrl"];
  let token = "";
  try {
    const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}") as Record<string, unknown>;
    if (typeof config["baseUrl"] === "string") base = config["baseUrl"];
    if (typeof config["token"] === "string") token = config["token"];
  } catch {
    base = undefined; // a page whose configuration is no JSON is none of ours
  }
  if (!base || !location.protocol.startsWith("http")) return (pageServer = null);
  const url = new URL(base.endsWith("/") ? base : `${base}/`, location.origin);
  return (pageServer = { base: url.href, token });
}

let health: { at: number; answer: Promise<Health | null> } | undefined;

/** The health of the page's runtime, or null where there is none; asked at most once in five seconds. */
export function serverHealth(): Promise<Health | null> {
  if (!health || Date.now() - health.at > 5000) health = { at: Date.now(), answer: askHealth() };
  return health.answer;
}

async function askHealth(): Promise<Health | null> {
  const server = findServer();
  if (!server) return null;
  try {
    const answer = await new ServerLink(server).call<Health>("GET", "health");
    return answer.protocol === PROTOCOL ? answer : null;
  } catch {
    return null; // no extension, or nobody who may read: the kernel is asked instead
  }
}

export class ServerLink implements Link {
  readonly kind = "server";
  private readonly api: string;
  private readonly server: PageServer;

  constructor(server: PageServer) {
    this.server = server;
    this.api = new URL("coder-nb/api/v1/", server.base).href;
  }

  async call<T>(method: Method, route: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = {};
    const xsrf = /(?:^|;\s*)_xsrf=([^;]*)/.exec(document.cookie)?.[1];
    if (xsrf) headers["X-XSRFToken"] = decodeURIComponent(xsrf);
    if (this.server.token) headers["Authorization"] = `token ${this.server.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response: Response;
    try {
      response = await fetch(this.api + route, {
        method,
        headers,
        credentials: "same-origin",
        cache: "no-store",
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
    } catch {
      throw new WireError(0, "unreachable", "The Jupyter server does not answer. Check that it runs, then try again.");
    }
    if (response.status === 204) return undefined as T;
    const answer: unknown = await response.json().catch(() => null);
    return settle<T>(response.status, answer);
  }

  follow(chatId: string, reader: Reader): { close(): void } {
    return new Socket(this, this.socketUrl(chatId), chatId, reader);
  }

  close(): void {}

  private socketUrl(chatId: string): (after: number | null) => string {
    return (after) => {
      const url = this.socketAt(`chats/${encodeURIComponent(chatId)}/stream`);
      url.searchParams.set("tail", String(TAIL));
      if (after !== null) url.searchParams.set("after", String(after));
      return url.href;
    };
  }

  protected socketAt(route: string): URL {
    const url = new URL(route, this.api);
    url.protocol = url.protocol.replace("http", "ws");
    if (this.server.token) url.searchParams.set("token", this.server.token);
    return url;
  }
}

/** What a link leads to: frames of one chat, to look at; nothing can be asked for. */
export class SharedLink extends ServerLink {
  private readonly secret: string;

  constructor(server: PageServer, secret: string) {
    super(server);
    this.secret = secret;
  }

  override call<T>(): Promise<T> {
    return Promise.reject(new WireError(403, "forbidden", "This chat was shared to look at, and nothing else."));
  }

  override follow(chatId: string, reader: Reader): { close(): void } {
    return new Socket(this, () => this.socketAt("shared").href, chatId, reader, JSON.stringify({ link: this.secret, tail: 10_000 }));
  }
}

class Socket {
  private socket: WebSocket | null = null;
  private wait = RECONNECT_MIN;
  private timer = 0;
  private closed = false;
  private readonly attending: number;
  private readonly link: ServerLink;
  private readonly url: (after: number | null) => string;
  private readonly chatId: string;
  private readonly reader: Reader;
  private readonly greeting: string | null;

  constructor(link: ServerLink, url: (after: number | null) => string, chatId: string, reader: Reader, greeting: string | null = null) {
    this.link = link;
    this.url = url;
    this.chatId = chatId;
    this.reader = reader;
    this.greeting = greeting;
    this.attending = window.setInterval(() => this.attend(), ATTEND_EVERY);
    document.addEventListener("visibilitychange", this.attend);
    window.addEventListener("online", this.hurry);
    this.open();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.attending);
    document.removeEventListener("visibilitychange", this.attend);
    window.removeEventListener("online", this.hurry);
    this.socket?.close();
  }

  private open(): void {
    const socket = new WebSocket(this.url(this.reader.after()));
    this.socket = socket;
    socket.onopen = () => this.greeting !== null && socket.send(this.greeting);
    socket.onmessage = (event) => this.receive(event);
    socket.onclose = (event) => void this.lost(event);
  }

  private receive(event: MessageEvent): void {
    if (this.closed) return;
    const frame = JSON.parse(String(event.data)) as Frame;
    if (frame.type === "hello") {
      this.wait = RECONNECT_MIN;
      if (frame.protocol !== PROTOCOL) return this.refuse(wrongProtocol(frame.protocol));
      this.reader.status("up");
    }
    this.reader.frames([frame]);
  }

  private async lost(event: CloseEvent): Promise<void> {
    if (this.closed) return;
    if (event.code === NOWHERE || event.code === TOO_MANY) return this.refuse(event.reason);
    this.reader.status("down");
    if (this.wait > RECONNECT_MIN * 4 && this.greeting === null) {
      // A socket does not say why it was refused; the same question by REST does.
      const why = await this.link.call("GET", `chats/${encodeURIComponent(this.chatId)}`).then(
        () => null,
        (error: unknown) => error,
      );
      if (why instanceof WireError && [401, 403, 404].includes(why.status)) return this.refuse(why.message);
    }
    this.timer = window.setTimeout(() => this.closed || this.open(), this.wait);
    this.wait = Math.min(this.wait * 2, RECONNECT_MAX);
  }

  private refuse(why: string): void {
    this.close();
    this.reader.status("gone", why);
  }

  private readonly hurry = (): void => {
    if (this.closed || this.socket?.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.timer);
    this.open();
  };

  private readonly attend = (): void => {
    if (document.visibilityState === "visible" && this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send('{"type":"attend"}');
    }
  };
}

function wrongProtocol(theirs: number): string {
  return (
    `The server speaks version ${theirs} of the protocol, this page version ${PROTOCOL}. ` +
    "Install the same version of coder-nb in both environments, then reload the page."
  );
}
