/** Whether the page around a view is light or dark, told by what it paints, so that every theme is understood. */

const THEME_COLORS = ["--jp-layout-color0", "--vscode-editor-background"];

/** Keeps `data-theme` of an element at the page's theme; returns how to stop that. */
export function followTheme(host: HTMLElement): () => void {
  const set = () => {
    const now = isDark() ? "dark" : "light";
    if (host.dataset["theme"] !== now) host.dataset["theme"] = now;
  };
  const observer = new MutationObserver(set);
  for (const root of [document.documentElement, document.body]) observer.observe(root, { attributes: true });
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", set);
  set();
  return () => {
    observer.disconnect();
    preference.removeEventListener("change", set);
  };
}

function isDark(): boolean {
  const page = getComputedStyle(document.body);
  for (const name of THEME_COLORS) {
    const luminance = luminanceOf(page.getPropertyValue(name).trim());
    if (luminance !== null) return luminance < 0.4;
  }
  const painted = [page, getComputedStyle(document.documentElement)].map((style) => luminanceOf(style.backgroundColor));
  return (painted.find((luminance) => luminance !== null) ?? 1) < 0.4;
}

let context: CanvasRenderingContext2D | null | undefined;

/** The perceived lightness of a colour in any notation, 0 to 1; null where it is none or mostly transparent. */
function luminanceOf(color: string): number | null {
  if (!color || !CSS.supports("color", color)) return null;
  context ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!context) return null;
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0, alpha = 0] = context.getImageData(0, 0, 1, 1).data;
  return alpha < 128 ? null : (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
}
