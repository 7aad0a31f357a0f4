// Runs before the first paint, so that a dark page does not flash white.
import { kept, show } from "./theme-kept";

show(kept());
