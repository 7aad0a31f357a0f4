// Forms follow the schemas that engines give, and take what the service would take.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { parsed, parsedList, range, settingsOf, TISSUE, type Setting } from "./schema";

const SETTINGS = settingsOf({
  $defs: { Mode: { enum: ["fast", "slow"], type: "string", description: "of the mode" } },
  properties: {
    min_area_um2: {
      type: "number",
      minimum: 1,
      maximum: 100,
      default: 5,
      description: "smallest nucleus, um2",
    },
    rounds: { type: "integer", exclusiveMinimum: 0, default: 3 },
    smooth: { type: "boolean", default: false },
    mode: { $ref: "#/$defs/Mode", default: "fast", description: "how it looks" },
    seed: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
    weights: { type: "array", items: { type: "number" }, default: [1] },
    level: { enum: [1, 2, 4], default: 1 },
    model: { const: "he" },
  },
});
const setting = (name: string): Setting => SETTINGS.find((each) => each.name === name)!;

test("a schema becomes settings with types, bounds, units and defaults", () => {
  const area = setting("min_area_um2");
  deepEqual(
    [area.label, area.unit, area.about, area.least, area.most, area.default],
    ["Min area", "µm²", "Smallest nucleus", 1, 100, 5],
  );
  equal(range(area), "From 1 to 100");
  deepEqual(
    SETTINGS.map((each) => each.type),
    ["number", "integer", "boolean", "choice", "integer", "json", "choice", "choice"],
  );
  deepEqual([setting("mode").options, setting("mode").about], [["fast", "slow"], "How it looks"]);
  ok(setting("seed").nullable && !area.nullable);
});

test("what is typed becomes a value of the right type, or is refused with the reason", () => {
  const value = (name: string, text: string) => parsed(setting(name), text);
  deepEqual(value("min_area_um2", " 7.5 "), { value: 7.5 });
  deepEqual(value("min_area_um2", "0.5"), { error: "From 1 to 100." });
  deepEqual(value("min_area_um2", "x"), { error: "x is no number." });
  deepEqual(value("min_area_um2", ""), { error: "Give a value, or reset to the default." });
  deepEqual(value("rounds", "2.5"), { error: "A whole number." });
  deepEqual(value("seed", ""), { value: null });
  deepEqual(value("level", "4"), { value: 4 });
  deepEqual(value("mode", "other"), { error: "One of fast, slow." });
  deepEqual(value("weights", "[1, 2]"), { value: [1, 2] });
  ok("error" in value("weights", "[1"));
});

test("values to try are each checked, and each there once", () => {
  deepEqual(parsedList(setting("min_area_um2"), "5, 10,20 ,"), { values: [5, 10, 20] });
  deepEqual(parsedList(setting("min_area_um2"), "5, 500"), { error: "500: From 1 to 100." });
  deepEqual(parsedList(setting("min_area_um2"), "5, 5.0"), { error: "5.0 is there twice." });
  ok("error" in parsedList(setting("min_area_um2"), " , "));
});

test("the tissue threshold may be left to the slide", () => {
  deepEqual(parsed(TISSUE[0]!, ""), { value: null });
  deepEqual(parsed(TISSUE[0]!, "300"), { error: "From 1 to 254." });
});
