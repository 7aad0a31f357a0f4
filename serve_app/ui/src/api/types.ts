// The API's own models, from its OpenAPI description: what the server changes, the compiler finds.
import type { components } from "../../build/openapi";

type Schemas = components["schemas"];
export type Job = Schemas["Job"];
export type Jobs = Schemas["Jobs"];
export type Workflow = Schemas["Workflow"];
export type Workflows = Schemas["Workflows"];
export type WorkflowInShort = Schemas["WorkflowInShort"];
export type JobState = Schemas["JobState"];
export type Me = Schemas["Me"];
export type LoggedIn = Schemas["LoggedIn"];
export type Slide = Schemas["Slide"];
export type Slides = Schemas["Slides"];
export type Results = Schemas["Results"];
export type Engines = Schemas["Engines"];
export type Engine = Schemas["Engine"];
export type Estimate = Schemas["Estimate"];
export type Cluster = Schemas["Cluster"];
export type User = Schemas["User"];
export type Users = Schemas["Users"];
