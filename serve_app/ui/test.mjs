// Runs src/**/*.test.ts: bundles them for Node, then its own test runner.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const OUT = "build/tests";
const entryPoints = readdirSync("src", { recursive: true })
  .filter((path) => path.endsWith(".test.ts"))
  .map((path) => `src/${path}`);
rmSync(OUT, { recursive: true, force: true });
await build({
  entryPoints,
  outdir: OUT,
  outbase: "src",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  logLevel: "warning",
});
const made = entryPoints.map((path) => path.replace(/^src/, OUT).replace(/\.ts$/, ".mjs"));
const run = spawnSync(process.execPath, ["--test", "--test-reporter=dot", ...made], {
  encoding: "utf8",
});
if (run.status !== 0) process.stderr.write(run.stdout + run.stderr);
process.exit(run.status ?? 1);
