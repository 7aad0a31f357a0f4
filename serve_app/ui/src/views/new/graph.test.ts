// A draft stays right whatever is done to it.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import * as graph from "./graph";
import { begun, recorded, redone, undone } from "./history";
import { asText, fromText, located, lineOf, submission } from "./json";
import { arrows, dropAt, layoutOf, CARD, GAP, LANE } from "./layout";

const job = (id: string, branch: string, ...needs: string[]): graph.Job => ({
  id,
  name: id,
  branch,
  spec: { kind: "tissue_mask", slide: "s.svs" },
  needs,
});
const draft = (...jobs: graph.Job[]): graph.Draft => ({ name: "w", jobs });

/** "a: 1 2 | b: 3" */
const told = (of: graph.Draft): string =>
  graph
    .lanes(of)
    .map((lane) => `${lane.branch}: ${lane.jobs.map((each) => each.id).join(" ")}`)
    .join(" | ");

function done(edit: graph.Edit): graph.Draft {
  if ("refused" in edit) throw new Error(edit.refused);
  return edit.draft;
}

const refused = (edit: graph.Edit): string => ("refused" in edit ? edit.refused : "");

const SIMPLE = draft(job("1", "a"), job("2", "a"), job("3", "b"), job("4", "b"));

test("a card moves within its branch, to another and to a new one", () => {
  equal(told(done(graph.moved(SIMPLE, "1", "a", 1))), "a: 2 1 | b: 3 4");
  equal(told(done(graph.moved(SIMPLE, "1", "b", 1))), "a: 2 | b: 3 1 4");
  equal(told(done(graph.moved(SIMPLE, "4", "c", 0))), "a: 1 2 | b: 3 | c: 4");
  equal(told(done(graph.moved(SIMPLE, "1", "b", 99))), "a: 2 | b: 3 4 1");
});

test("branches keep their order while cards move, and go when they are empty", () => {
  const once = done(graph.moved(SIMPLE, "1", "b", 0));
  equal(told(once), "a: 2 | b: 1 3 4");
  equal(told(done(graph.moved(once, "2", "b", 0))), "b: 2 1 3 4");
});

test("by steps a card gets anywhere, and an end is said", () => {
  equal(told(done(graph.stepped(SIMPLE, "2", "left"))), "a: 2 1 | b: 3 4");
  equal(told(done(graph.stepped(SIMPLE, "2", "down"))), "a: 1 | b: 3 2 4");
  equal(told(done(graph.stepped(SIMPLE, "4", "down"))), "a: 1 2 | b: 3 | c: 4");
  equal(refused(graph.stepped(SIMPLE, "1", "left")), "It is the first of its branch.");
  equal(refused(graph.stepped(SIMPLE, "1", "up")), "It is on the first branch.");
  const alone = draft(job("1", "a"), job("2", "b"));
  equal(refused(graph.stepped(alone, "2", "down")), "It is alone on the last branch.");
});

test("what would go in a circle is refused, and the way round is said", () => {
  const one = done(graph.connected(SIMPLE, "1", "3"));
  deepEqual(graph.jobOf(one, "3")?.needs, ["1"]);
  equal(
    refused(graph.connected(one, "4", "1")),
    "That would go in a circle: 1 depends on 4, 4 comes in branch b after 3, 3 depends on 1.",
  );
  equal(refused(graph.connected(SIMPLE, "1", "1")), "A job cannot wait for itself.");
});

test("a circle that closes through the order of a branch is one too, also by moving a card", () => {
  equal(
    refused(graph.connected(SIMPLE, "2", "1")),
    "That would go in a circle: 1 depends on 2, 2 comes in branch a after 1.",
  );
  const waits = done(graph.connected(SIMPLE, "1", "2"));
  ok(refused(graph.moved(waits, "1", "a", 1)).includes("1 comes in branch a after 2"));
});

test("no number of cards makes the search for circles slow or deep", () => {
  const many = Array.from({ length: 5000 }, (_, at) => job(`j${at}`, `b${at % 7}`));
  const linked = many.map((each, at) => (at > 8 ? { ...each, needs: [`j${at - 8}`] } : each));
  equal(graph.cycle(draft(...linked)), null);
  ok((graph.columns(draft(...linked)).get("j4999") ?? 0) > 600);
});

test("a removed job is waited for no more; a copy has a name of its own and nobody waits for it", () => {
  const one = done(graph.connected(SIMPLE, "1", "3"));
  deepEqual(graph.jobOf(graph.removed(one, "1"), "3")?.needs, []);
  const twice = graph.duplicated(graph.duplicated(one, "1", "x"), "1", "y");
  deepEqual(
    twice.jobs.map((each) => each.name),
    ["1", "1-3", "1-2", "2", "3", "4"],
  );
  deepEqual(graph.jobOf(twice, "3")?.needs, ["1"]);
});

test("names and branches are those that the service takes, each once", () => {
  equal(graph.freeName(SIMPLE, "Schnitt ä (2)"), "Schnitt-2-");
  equal(graph.freeName(SIMPLE, "1"), "1-2");
  equal(graph.freeName(SIMPLE, "x".repeat(99)).length, 64);
  equal(graph.freeBranch(SIMPLE), "c");
  equal(graph.freeBranch(SIMPLE, "b"), "b-2");
  ok(refused(graph.renamed(SIMPLE, "1", "2")).includes("Another job"));
  ok(refused(graph.renamed(SIMPLE, "1", "no spaces")).startsWith("A name is"));
  ok(refused(graph.renamedBranch(SIMPLE, "a", "b")).startsWith("There is a branch b"));
  equal(told(done(graph.renamedBranch(SIMPLE, "a", "new"))), "new: 1 2 | b: 3 4");
});

test("undo and redo go step by step; what is typed in one field is one step", () => {
  let history = begun(0);
  history = recorded(history, 1);
  history = recorded(history, 2, "field");
  history = recorded(history, 3, "field");
  equal(undone(history).now, 1);
  equal(undone(undone(history)).now, 0);
  equal(redone(undone(history)).now, 3);
  equal(redone(recorded(undone(history), 9)).now, 9);
});

test("columns stand right of all that a job follows", () => {
  const one = done(graph.connected(SIMPLE, "2", "3"));
  deepEqual([...graph.columns(one)].sort(), [
    ["1", 0],
    ["2", 1],
    ["3", 2],
    ["4", 3],
  ]);
});

test("a card is dropped between those that it is held between", () => {
  const layout = layoutOf(SIMPLE);
  const second = layout.placed.get("4")!;
  const before = dropAt(layout, second.x, LANE + 50, "1");
  deepEqual([before.branch, before.at, before.lane], ["b", 1, 1]);
  equal(before.markX, second.x - GAP / 2);
  deepEqual(dropAt(layout, second.x + CARD.width, LANE + 50, "1").at, 2);
  equal(dropAt(layout, second.x + CARD.width, LANE + 50, "3").at, 1);
  equal(dropAt(layout, 0, 2 * LANE + 5, "1").branch, null);
  equal(arrows(layoutOf(done(graph.connected(SIMPLE, "1", "4")))).length, 1);
});

let made = 0;
const newId = () => `id-${++made}`;
const read = (text: string) => fromText(text, newId);

test("a draft comes back from its JSON without loss, fields that are not known here included", () => {
  const given = {
    name: "all of it",
    jobs: [
      {
        name: "first",
        branch: "a",
        kind: "cell_segmentation",
        slide: "sl-1",
        engine: "classical",
        params: { threshold: 0.7 },
        tissue: { threshold: null, close_um: 12.5 },
        measure: { ring_um: 3 },
        mpp: 0.25,
        tile_px: 512,
        later: { deep: [1, { x: null }] },
      },
      { branch: "b/1 x", kind: "tissue_mask", slide: "b.svs", depends_on: ["first"] },
      {
        name: "third",
        branch: "a",
        kind: "cell_segmentation",
        slide: "sl-1",
        sweep: { likeness: [0.2, 0.4], "tissue.close_um": [1, 2, 3] },
        depends_on: ["2"],
      },
    ],
  };
  const found = read(JSON.stringify(given));
  ok("draft" in found);
  deepEqual(submission(found.draft), given);
  const again = read(asText(found.draft));
  ok("draft" in again);
  equal(asText(again.draft), asText(found.draft));
  equal(graph.copies(found.draft.jobs[2]!), 6);
});

test("what is no workflow is said with the place", () => {
  const fault = (text: string) => {
    const found = read(text);
    return "fault" in found ? [found.fault.where, found.fault.what] : "";
  };
  const one = '{"slide": "s", "name": "n"}';
  deepEqual(fault('{"jobs": 3}'), ["jobs", "There is no list of jobs."]);
  deepEqual(fault('{"jobs": [{"kind": "x"}]}'), ["jobs.0.slide", "It names no slide."]);
  deepEqual(fault(`{"jobs": [${one}, ${one}]}`), ["jobs.1.name", "Two jobs are called n."]);
  deepEqual(fault('{"jobs": [{"slide": "s", "depends_on": ["z"]}]}'), [
    "jobs.0.depends_on.0",
    "There is no job called z.",
  ]);
  ok(
    String(fault('{"jobs": [{"slide": "s", "name": "a", "depends_on": ["a"]}]}')).includes(
      "circle",
    ),
  );
  ok(String(fault("{nonsense")[1]).startsWith("This is no JSON"));
});

test("a path is found in the text, or the nearest above it", () => {
  const text = '{\n  "jobs": [\n    {"a": "x,]}", "b": {"c": [1, 22]}}\n  ]\n}';
  const at = (path: string) => text.slice(...located(text, path));
  equal(at("jobs.0.a"), '"x,]}"');
  equal(at("jobs.0.b.c.1"), "22");
  equal(at("jobs.0.b.none"), '{"c": [1, 22]}');
  equal(at(""), text);
  deepEqual(lineOf(text, text.indexOf("22")), { line: 3, column: 34 });
});
