/** Files and pictures that go with a prompt: by the button, pasted or dropped; bounded, and refused with a reason. */

import { h, setText } from "../dom.ts";
import { icon } from "../icons.ts";
import { newId } from "../ids.ts";
import { bytes } from "../text.ts";
import type { AgentOffer, Attachment } from "../wire.ts";

/** How many may go with one prompt. */
const MOST = 20;
const BINARY = "application/octet-stream";
/** The pictures that models read, and that pages can show. */
export const PICTURES: readonly string[] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

interface Held {
  readonly id: string;
  readonly attachment: Attachment & { mime_type: string; data: string };
  readonly size: number;
}

export class Attachments {
  readonly element = h("ul", { class: "attached", "aria-label": "Files that go with the prompt", hidden: true });
  readonly button: HTMLButtonElement;
  readonly input = h("input", { type: "file", multiple: true, hidden: true, tabindex: -1, "aria-hidden": "true" });
  private readonly says = h("span", { class: "sr", role: "status" });
  private readonly refuse: (why: string) => void;
  private readonly changed: () => void;
  private held: readonly Held[] = [];
  private label = "";
  private offer: AgentOffer | null = null;

  /** `refuse` shows why something was not taken; `changed` is called when what goes with the prompt is another. */
  constructor(refuse: (why: string) => void, changed: () => void) {
    this.refuse = refuse;
    this.changed = changed;
    this.button = h("button", { type: "button", class: "bare attach", "aria-label": "Attach files", title: "Attach files or pictures; they can be pasted and dropped here, too" }, icon("clip"), this.input, this.says);
    this.button.addEventListener("click", (event) => event.target !== this.input && this.input.click());
    this.input.addEventListener("change", () => {
      void this.add([...(this.input.files ?? [])]);
      this.input.value = "";
    });
  }

  /** What the chosen agent takes; a button that could only be refused is not there. */
  offered(label: string, offer: AgentOffer | null): void {
    [this.label, this.offer] = [label || "The agent", offer];
    this.button.hidden = offer?.images === false && offer.files === false;
    this.input.accept = offer?.files === false ? PICTURES.join() : "";
  }

  /** Takes what is pasted and dropped on an element. */
  listen(target: HTMLElement, box: HTMLElement): void {
    box.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0 || event.clipboardData?.getData("text/plain")) return;
      event.preventDefault();
      void this.add(files);
    });
    const over = (event: DragEvent) => {
      const carries = event.dataTransfer?.types.includes("Files") ?? false;
      target.classList.toggle("dropping", carries && event.type !== "dragleave");
      if (!carries) return;
      event.preventDefault();
      event.stopPropagation();
    };
    target.addEventListener("dragenter", over);
    target.addEventListener("dragover", over);
    target.addEventListener("dragleave", over);
    target.addEventListener("drop", (event) => {
      over(event);
      target.classList.remove("dropping");
      const items = [...(event.dataTransfer?.items ?? [])];
      const folder = items.map((item) => item.webkitGetAsEntry?.()).find((entry) => entry?.isDirectory);
      if (folder) return this.refuse(`${folder.name} is a folder. Drop its files, or name it in the prompt.`);
      void this.add([...(event.dataTransfer?.files ?? [])]);
    });
  }

  get attachments(): Attachment[] {
    return this.held.map((one) => one.attachment);
  }

  /** Why what is attached cannot go to the chosen agent; empty where it can. */
  get obstacle(): string {
    return this.held.map((one) => this.untaken(one.attachment.name, one.attachment.mime_type)).find(Boolean) ?? "";
  }

  /** Forgets those that were sent. */
  drop(sent: readonly Attachment[]): void {
    this.show(this.held.filter((one) => !sent.includes(one.attachment)));
  }

  async add(files: readonly File[]): Promise<void> {
    for (const file of files) {
      const why = this.why(file);
      if (why) return this.refuse(why);
      let data: string;
      let type: string;
      try {
        type = await kind(file);
        data = await base64(file);
      } catch {
        return this.refuse(`${file.name} cannot be read. Check that it is still there, then attach it again.`);
      }
      const late = this.why(file) || this.untaken(file.name, type); // others may have been added meanwhile
      if (late) return this.refuse(late);
      this.show([...this.held, { id: newId(), size: file.size, attachment: { name: file.name || "pasted.png", mime_type: type, data } }]);
      setText(this.says, `${file.name || "The picture"} is attached.`);
    }
    if (files.length) this.refuse("");
  }

  private why(file: File): string {
    const most = this.offer?.carries ?? 0;
    const total = this.held.reduce((sum, one) => sum + one.size, file.size);
    if (file.size === 0) return `${file.name} is empty, or a folder. Attach a file that holds something.`;
    if (this.held.length >= MOST) return `A prompt takes ${MOST} files. Put the others into the project, and name them in the prompt.`;
    if (most && total > most) return `${file.name} is too much: a prompt may carry ${bytes(most)}, and this would be ${bytes(total)}. Make it smaller, or put it into the project and name it in the prompt.`;
    if (file.type.startsWith("image/") && file.type !== "image/svg+xml" && !PICTURES.includes(file.type)) return `${file.name} is a kind of picture that models do not read. Save it as PNG or JPEG.`;
    return PICTURES.includes(file.type) ? this.untaken(file.name, file.type) : "";
  }

  private untaken(name: string, type: string): string {
    if (type === BINARY) return `${name} is neither text nor a PDF nor a picture. Put it into the project, and name it in the prompt.`;
    const picture = PICTURES.includes(type);
    if (picture ? this.offer?.images !== false : this.offer?.files !== false) return "";
    return `${this.label} takes no ${picture ? "pictures" : "files"}, so ${name} cannot go with the prompt. Choose another agent, or ${picture ? "describe it" : "put it into the project and name it"}.`;
  }

  private show(held: readonly Held[]): void {
    this.held = held;
    this.element.hidden = held.length === 0;
    this.element.replaceChildren(...held.map((one) => this.item(one)));
    this.changed();
  }

  private item(one: Held): HTMLElement {
    const { name, mime_type, data } = one.attachment;
    const sign = PICTURES.includes(mime_type) ? h("img", { src: `data:${mime_type};base64,${data}`, alt: "" }) : icon("file");
    const remove = h("button", { type: "button", class: "bare", "aria-label": `Remove ${name}`, title: `Remove ${name}` }, icon("cross"));
    remove.addEventListener("click", () => {
      this.show(this.held.filter((other) => other.id !== one.id));
      this.button.focus();
      setText(this.says, `${name} is removed.`);
    });
    return h("li", {}, sign, h("span", { class: "attached-name", title: name }, name), h("span", { class: "muted" }, bytes(one.size)), remove);
  }
}

/** What a file is: its browser's word counts for pictures and PDFs, and the bytes for what is text. */
async function kind(file: File): Promise<string> {
  if (PICTURES.includes(file.type) || file.type === "application/pdf") return file.type;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return text.includes("\0") ? BINARY : "text/plain";
  } catch (error) {
    if (error instanceof TypeError) return BINARY;
    throw error;
  }
}

async function base64(file: File): Promise<string> {
  const url = await new Promise<string>((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}
