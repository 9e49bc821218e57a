/** The kernel, by comm messages: calls, and frames in numbered batches. */

import { ATTEND_EVERY, type Link, type Method, type Reader, settle, TAIL } from "./transport.ts";
import { type Frame, WireError } from "./wire.ts";

/** What is used of an anywidget model. */
export interface Model {
  get(name: string): unknown;
  send(content: unknown): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback: (...args: never[]) => void): void;
}

const HELLO_AGAIN_MIN = 2000;
const HELLO_AGAIN_MAX = 10_000;

type Message =
  | { op: "frames"; seq: number; frames: Frame[] }
  | { op: "reply"; id: number; status: number; body: unknown }
  | { op: string };

export class KernelLink implements Link {
  readonly kind = "kernel";
  private readonly model: Model;
  private readonly calls = new Map<number, { resolve(value: never): void; reject(error: unknown): void }>();
  private lastId = 0;
  private following: KernelFollower | null = null;

  constructor(model: Model) {
    this.model = model;
    model.on("msg:custom", this.receive);
  }

  call<T>(method: Method, route: string, body?: unknown): Promise<T> {
    const id = ++this.lastId;
    return new Promise<T>((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.model.send({ op: "call", id, route, method, body: body ?? null });
    });
  }

  follow(chatId: string, reader: Reader): { close(): void } {
    this.following?.close();
    this.following = new KernelFollower(this, this.model, chatId, reader);
    return this.following;
  }

  close(): void {
    this.model.off("msg:custom", this.receive);
    this.following?.close();
    for (const call of this.calls.values()) call.reject(new WireError(0, "closed", "The view was closed before the kernel answered."));
    this.calls.clear();
  }

  private readonly receive = (message: Message): void => {
    if (message.op === "frames" && "frames" in message) this.following?.receive(message.seq, message.frames);
    if (message.op !== "reply" || !("status" in message)) return;
    const call = this.calls.get(message.id);
    this.calls.delete(message.id);
    try {
      call?.resolve(settle(message.status, message.body));
    } catch (error) {
      call?.reject(error);
    }
  };
}

/** Frames by comm: a hole in the numbers, or silence after a hello, is answered by another hello from the cursor. */
class KernelFollower {
  private next = -1;
  private wait = HELLO_AGAIN_MIN;
  private timer = 0;
  private closed = false;
  private readonly attending: number;
  private readonly link: KernelLink;
  private readonly model: Model;
  private readonly chatId: string;
  private readonly reader: Reader;

  constructor(link: KernelLink, model: Model, chatId: string, reader: Reader) {
    this.link = link;
    this.model = model;
    this.chatId = chatId;
    this.reader = reader;
    this.attending = window.setInterval(() => this.attend(), ATTEND_EVERY);
    this.hello();
    this.attend();
  }

  receive(seq: number, frames: Frame[]): void {
    if (this.closed) return;
    if (seq === 0) {
      this.next = 0;
      this.wait = HELLO_AGAIN_MIN;
      clearTimeout(this.timer);
      this.reader.status("up");
    }
    if (seq < this.next || this.next < 0) return;
    if (seq > this.next) return this.hello();
    this.next++;
    this.reader.frames(frames);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.attending);
  }

  private hello(): void {
    this.next = -1;
    this.model.send({ op: "hello", after: this.reader.after(), tail: TAIL });
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      this.reader.status("down");
      this.hello();
    }, this.wait);
    this.wait = Math.min(this.wait * 2, HELLO_AGAIN_MAX);
  }

  private attend(): void {
    if (document.visibilityState !== "visible") return;
    this.link.call("POST", `chats/${encodeURIComponent(this.chatId)}/attend`).catch(() => {
      // a kernel that is gone needs nobody to attend; the follower says so
    });
  }
}
