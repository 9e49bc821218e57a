/**
 * The prebuilt extension of JupyterLab and Notebook 7: shows outputs that carry our mime type.
 *
 * Its rank puts it before the widget's own renderer, and it then shows that widget while it lives. Without a living
 * widget (a document opened again, another kernel) it shows the saved chat, live where the server knows it: never an
 * error, never nothing. It is a federated module by hand, since one shared package is all it takes from the page.
 */

const MIME = "application/vnd.coder-nb.chat.v1+json";
const WIDGET_VIEW = "application/vnd.jupyter.widget-view+json";
const RANK = -20; // ipywidgets' own renderer has -10, and the lowest goes first

// ---- what is used of Lumino, JupyterLab and ipywidgets

interface LuminoWidget {
  readonly node: HTMLElement;
  readonly parent: LuminoWidget | null;
  readonly isDisposed: boolean;
  dispose(): void;
  hide(): void;
  show(): void;
}
interface Panel extends LuminoWidget {
  addClass(name: string): void;
  addWidget(widget: LuminoWidget): void;
  onAfterAttach(message: unknown): void;
}
interface Lumino {
  Widget: new (options: { node: HTMLElement }) => LuminoWidget;
  Panel: new () => Panel;
}
interface MimeModel {
  readonly trusted: boolean;
  readonly data: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
}
interface Renderer extends LuminoWidget {
  renderModel(model: MimeModel): Promise<void>;
}
interface Registry {
  createRenderer(mimeType: string): Renderer & { _manager?: { promise: Promise<Manager> } | null };
}
interface Signal {
  connect(slot: () => void, context?: unknown): void;
  disconnect(slot: () => void, context?: unknown): void;
}
interface Manager {
  readonly restored: Signal;
  has_model(id: string): boolean;
  get_model(id: string): Promise<WidgetModel>;
}
interface WidgetModel {
  readonly comm_live?: boolean;
  once(event: string, callback: () => void): void;
}

interface Snapshot {
  chat?: { id?: string };
}
interface Standalone {
  update(snapshot: Snapshot): void;
  dispose(): void;
}
interface Bundle {
  standalone(element: HTMLElement, snapshot: Snapshot): Standalone;
}

declare const BUNDLE: string;
const GONE = "The front end of coder-nb is not where this page found it before, as after an upgrade. Reload the page.";
const bundleUrl = new URL(BUNDLE, (document.currentScript as HTMLScriptElement).src).href;
let bundle: Promise<Bundle> | undefined;

function loadBundle(): Promise<Bundle> {
  bundle ??= (import(bundleUrl) as Promise<Bundle>).catch((error: unknown) => {
    bundle = undefined;
    throw error;
  });
  return bundle;
}

function makeRendererClass({ Panel, Widget }: Lumino): new () => Renderer {
  return class ChatRenderer extends Panel {
    private readonly saved = new Widget({ node: document.createElement("div") });
    private view: Standalone | null = null;
    private inner: Renderer | null = null;
    private manager: Manager | null = null;
    private modelId: string | null = null;
    private live: WidgetModel | null = null;
    private snapshot: Snapshot = {};

    constructor() {
      super();
      this.addClass("coder-nb-output");
      this.addWidget(this.saved);
    }

    async renderModel(model: MimeModel): Promise<void> {
      this.snapshot = (model.data[MIME] ?? {}) as Snapshot;
      const view = model.data[WIDGET_VIEW] as { model_id?: unknown } | undefined;
      // Widgets are code: as in JupyterLab itself, only what this user ran or trusts may bring one.
      this.modelId = model.trusted && typeof view?.model_id === "string" ? view.model_id : null;
      await this.check();
      await this.renderSaved();
    }

    override dispose(): void {
      if (this.isDisposed) return;
      this.manager?.restored.disconnect(this.check, this);
      this.view?.dispose();
      super.dispose();
    }

    override onAfterAttach(message: unknown): void {
      super.onAfterAttach(message);
      void this.findManager();
    }

    /** The widgets' manager of the notebook or console that this output is in, once there is one. */
    private async findManager(): Promise<void> {
      if (this.manager || !this.modelId) return;
      const registry = registryAbove(this);
      const probe = registry && widgetRenderer(registry);
      const manager = await probe?._manager?.promise;
      probe?.dispose();
      if (!manager || this.manager || this.isDisposed) return;
      this.manager = manager;
      manager.restored.connect(this.check, this);
      await this.check();
    }

    /** Shows the widget if it lives, and the saved view if it does no more. */
    private async check(): Promise<void> {
      const { manager, modelId } = this;
      if (this.live?.comm_live === false) this.showSaved();
      if (!manager || !modelId || this.live || !manager.has_model(modelId)) return;
      const model = await manager.get_model(modelId).catch(() => null);
      if (!model || model.comm_live === false || this.live || this.isDisposed) return;
      await this.showWidget(model, modelId);
    }

    private async showWidget(model: WidgetModel, modelId: string): Promise<void> {
      const registry = registryAbove(this);
      const inner = registry && widgetRenderer(registry);
      if (!inner) return;
      this.live = model;
      model.once("comm:close", () => this.showSaved());
      await inner.renderModel({ trusted: true, metadata: {}, data: { [WIDGET_VIEW]: { version_major: 2, version_minor: 0, model_id: modelId } } });
      if (this.isDisposed || this.live !== model) return inner.dispose();
      this.inner = inner;
      this.addWidget(inner);
      this.saved.hide();
      this.view?.dispose();
      this.view = null;
    }

    private showSaved(): void {
      this.live = null;
      if (this.isDisposed) return;
      this.saved.show();
      this.inner?.dispose();
      this.inner = null;
      void this.renderSaved();
    }

    /** Brings the saved view to the snapshot, unless the widget is shown in its place. */
    private async renderSaved(): Promise<void> {
      if (this.live) return;
      const loaded = await loadBundle().catch(() => null);
      if (this.isDisposed || this.live) return;
      if (loaded && this.view) return this.view.update(this.snapshot);
      this.saved.node.textContent = loaded ? "" : GONE;
      this.view = loaded?.standalone(this.saved.node, this.snapshot) ?? null;
    }
  } as unknown as new () => Renderer;
}

function registryAbove(widget: LuminoWidget): Registry | null {
  for (let above = widget.parent; above; above = above.parent) {
    const registry = (above as LuminoWidget & { rendermime?: Partial<Registry> }).rendermime;
    if (typeof registry?.createRenderer === "function") return registry as Registry;
  }
  return null;
}

function widgetRenderer(registry: Registry): ReturnType<Registry["createRenderer"]> | null {
  try {
    return registry.createRenderer(WIDGET_VIEW);
  } catch {
    return null; // no ipywidgets on this page
  }
}

// ---- the federated module

type Share = Record<string, Record<string, { get(): Promise<() => unknown> } | undefined> | undefined>;
let share: Share = {};

async function shared(name: string): Promise<unknown> {
  const versions = Object.entries(share[name] ?? {});
  const newest = versions.sort(([a], [b]) => b.localeCompare(a, undefined, { numeric: true }))[0]?.[1];
  if (!newest) throw new Error(`coder-nb needs ${name}, which this page does not have. It works in JupyterLab 4.4 and Notebook 7.4 or newer.`);
  return (await newest.get())();
}

async function get(): Promise<() => unknown> {
  const ChatRenderer = makeRendererClass((await shared("@lumino/widgets")) as Lumino);
  const rendererFactory = { safe: true, mimeTypes: [MIME], defaultRank: RANK, createRenderer: () => new ChatRenderer() };
  const extension = { id: "coder-nb:chat", rendererFactory, rank: RANK, dataType: "json" };
  return () => ({ __esModule: true, default: extension });
}

const page = window as { _JUPYTERLAB?: Record<string, unknown> };
(page._JUPYTERLAB ??= {})["coder-nb"] = { init: (scope: Share) => void (share = scope), get };

export {};
