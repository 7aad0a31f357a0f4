// No address of the page leads a request elsewhere.
import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { decoded, leadsThere } from "./path";

const API = "file:///api/v1";
const IDS = ["../slides/sl-1", "..", ".", "%2e%2E", ".%2e/me", "x?y", "x#y", "..\\me", ".\t./me"];

test("a path that a browser would change is refused", () => {
  for (const id of IDS) {
    const path = `/jobs/${id}/review`;
    ok(new URL(API + path).href !== API + path || /[?#]/.test(path), id);
    ok(!leadsThere(path), id);
  }
});

test("a path of the API is taken as it is", () => {
  for (const path of ["/me", "/jobs/job-abc-1/overlay/3/0/1", "/jobs/j/results/tissue.png"]) {
    equal(new URL(API + path).href, API + path);
    ok(leadsThere(path), path);
  }
  ok(leadsThere(`/users/${encodeURIComponent("a/../b?")}`));
});

test("an address that is no text is read without a fault", () => {
  equal(decoded("100%"), "100%");
  equal(decoded("a%20b"), "a b");
});
