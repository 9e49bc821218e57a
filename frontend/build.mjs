// Builds the front end: the module of the widgets, their loader, and the prebuilt extension of JupyterLab.

import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const staticDir = join(root, "coder_nb", "static");
const labDir = join(root, "labextension");
const { version, description, license } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));

/** The style sheet as a text, without its spaces. */
const styles = {
  name: "styles",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await esbuild.transform(await readFile(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

/** Bundles one entry point and returns its text. */
async function bundle(entry, format, define = {}) {
  const result = await esbuild.build({
    entryPoints: [join(here, "src", entry)],
    bundle: true,
    minify: true,
    write: false,
    format,
    target: "es2022",
    charset: "utf8",
    plugins: [styles],
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
    define,
  });
  return { text: result.outputFiles[0].text, inputs: Object.keys(result.metafile.inputs) };
}

const hashOf = (text) => createHash("sha256").update(text).digest("hex").slice(0, 12);

async function put(folder, name, text) {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), text);
  console.log(`coder-nb: built ${join(folder, name).slice(root.length + 1)} (${(text.length / 1024).toFixed(0)} KiB)`);
}

/** The licences of what a bundle holds, since their terms ask that they come along. */
async function licences(inputs) {
  const names = new Set();
  for (const input of inputs) {
    const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) names.add(match[1]);
  }
  const parts = [];
  for (const name of [...names].sort()) {
    const folder = join(here, "node_modules", name);
    const about = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    let text = "";
    for (const file of ["LICENSE", "LICENSE.md", "LICENSE.txt"]) text ||= await readFile(join(folder, file), "utf8").catch(() => "");
    parts.push(`${name} ${about.version} (${about.license})\n\n${text.trim()}\n`);
  }
  return parts.join(`\n${"-".repeat(80)}\n\n`);
}

const { text: coder, inputs } = await bundle("widget.ts", "esm");
const { text: loader } = await bundle("loader.ts", "esm", { BUILD: JSON.stringify(`${version} ${hashOf(coder)}`) });
const notices = await licences(inputs);
await put(staticDir, "coder.js", coder);
await put(staticDir, "loader.js", loader);
await put(staticDir, "third-party-licenses.txt", notices);

const coderName = `coder.${hashOf(coder)}.js`;
const { text: remote } = await bundle("labextension.ts", "iife", { BUNDLE: JSON.stringify(`./${coderName}`) });
const remoteName = `remoteEntry.${hashOf(remote)}.js`;
const about = {
  name: "coder-nb",
  version,
  description,
  license,
  jupyterlab: { extension: false, mimeExtension: true, _build: { load: `static/${remoteName}`, mimeExtension: "./mimeExtension" } },
};
const install = { packageManager: "python", packageName: "coder-nb", uninstallInstructions: "Use your Python package manager to uninstall coder-nb" };
await rm(labDir, { recursive: true, force: true });
await put(join(labDir, "static"), coderName, coder);
await put(join(labDir, "static"), remoteName, remote);
await put(labDir, "package.json", `${JSON.stringify(about, null, 2)}\n`);
await put(labDir, "install.json", `${JSON.stringify(install, null, 2)}\n`);
