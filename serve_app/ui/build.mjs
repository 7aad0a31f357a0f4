// Bundles src/ into dist/: hashed names, index.html that names them, and a .gz beside each file.
import { build } from "esbuild";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const OUT = "dist";
rmSync(OUT, { recursive: true, force: true });
const usual = {
  outdir: `${OUT}/assets`,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  target: "es2022",
  minify: true,
  metafile: true,
  legalComments: "linked",
  loader: { ".woff2": "file" },
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
};
const made = await build({ ...usual, entryPoints: ["src/main.tsx"], splitting: true, format: "esm" });
// Not a module: it must run before the first paint.
const early = await build({ ...usual, entryPoints: ["src/theme-first.ts"], format: "iife" });

const outputs = Object.entries({ ...made.metafile.outputs, ...early.metafile.outputs });
const asset = (path) => path.replace(`${OUT}/`, "/");
const entry = (name) => outputs.find(([, facts]) => facts.entryPoint === `src/${name}`);
const [app, facts] = entry("main.tsx");
const font = outputs.find(([path]) => path.includes("inter-latin-wght-normal"))[0];
const first = facts.imports.filter((each) => each.kind === "import-statement");
const names = {
  APP: asset(app),
  STYLE: asset(facts.cssBundle),
  THEME: asset(entry("theme-first.ts")[0]),
  FONT: asset(font),
  PRELOADS: first.map((each) => `<link rel="modulepreload" href="${asset(each.path)}" />`).join(""),
};
const page = readFileSync("index.html", "utf8").replaceAll(/%([A-Z]+)%/g, (_, name) => names[name]);
writeFileSync(`${OUT}/index.html`, page);
for (const folder of [OUT, `${OUT}/assets`]) {
  for (const name of readdirSync(folder)) {
    if (/\.(js|css|html|svg|txt)$/.test(name)) {
      const path = `${folder}/${name}`;
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
    }
  }
}
