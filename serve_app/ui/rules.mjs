// What the sources keep to that neither compiler nor formatter checks: how long a function may be.
// `npm run check` runs it; the rules of single lines are in tests/test_tidy.py.
import { readFileSync, readdirSync } from "node:fs";
import ts from "typescript";

const MOST_LINES = 60;

/** What a function is called where it stands: its own name, or that of what it is given to. */
function nameOf(node, source) {
  const named = node.name ?? node.parent?.name;
  return named ? named.getText(source) : "a function without a name";
}

/** The faults of one source: `PATH:LINE NAME has N lines`. */
export function faults(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found = [];
  const look = (node) => {
    if (ts.isFunctionLike(node) && node.body) {
      const first = source.getLineAndCharacterOfPosition(node.getStart(source)).line;
      const last = source.getLineAndCharacterOfPosition(node.end).line;
      const lines = last - first + 1;
      if (lines > MOST_LINES)
        found.push(`${path}:${first + 1} ${nameOf(node, source)} has ${lines} lines`);
    }
    ts.forEachChild(node, look);
  };
  look(source);
  return found;
}

const paths = readdirSync("src", { recursive: true })
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => `src/${path}`)
  .sort();
const all = paths.flatMap((path) => faults(path, readFileSync(path, "utf8")));
// A rule that finds nothing because it looks at nothing would be worse than none.
const long = `const f = () => {\n${"  1;\n".repeat(MOST_LINES)}};`;
if (paths.length < 20 || faults("made-up.ts", long).length !== 1)
  all.push("rules.mjs does not find what it is for");
if (all.length > 0) {
  process.stderr.write(`${all.join("\n")}\n  do: split it; a function has ${MOST_LINES} lines\n`);
  process.exit(1);
}
