/**
 * The small module that each widget carries: it brings the large one, once a page.
 *
 * From the page's server where that has the extension, else from the kernel. Built into `coder_nb/static/loader.js`.
 */

interface Widget {
  default: { render(context: { model: Model; el: HTMLElement }): () => void };
}

interface Message {
  op?: string;
  source?: string;
}

interface Model {
  send(content: unknown): void;
  on(event: string, callback: (message: Message) => void): void;
  off(event: string, callback: (message: Message) => void): void;
}

declare const BUILD: string;
const LOADED = Symbol.for(`coder-nb ${BUILD}`);
const page = globalThis as { [LOADED]?: Promise<Widget> };

async function load(model: Model): Promise<Widget> {
  const base = serverBase();
  if (base) {
    try {
      const answer = await fetch(new URL("coder-nb/api/v1/health", base), { credentials: "same-origin", cache: "no-store" });
      if (answer.ok) return (await import(new URL("static/jupyter_extension/coder.js", base).href)) as Widget;
    } catch {
      // the server has no extension, or not its files: the kernel has them
    }
  }
  const source = await askKernel(model);
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return (await import(url)) as Widget;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function serverBase(): string | null {
  try {
    const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}") as { baseUrl?: string };
    const base = config.baseUrl ?? document.body.dataset["baseUrl"];
    return base && location.protocol.startsWith("http") ? new URL(base.replace(/\/?$/, "/"), location.origin).href : null;
  } catch {
    return null;
  }
}

function askKernel(model: Model): Promise<string> {
  return new Promise((resolve) => {
    const receive = (message: Message) => {
      if (message.op !== "bundle" || typeof message.source !== "string") return;
      model.off("msg:custom", receive);
      resolve(message.source);
    };
    model.on("msg:custom", receive);
    model.send({ op: "bundle" });
  });
}

async function render(context: { model: Model; el: HTMLElement }): Promise<() => void> {
  page[LOADED] ??= load(context.model);
  try {
    return (await page[LOADED]).default.render(context);
  } catch (error) {
    delete page[LOADED];
    throw error;
  }
}

export default { render };
