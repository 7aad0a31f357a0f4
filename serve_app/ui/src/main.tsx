import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/surfaces.css";
import "./styles/frame.css";
import { App } from "./app"; // after the common styles, so that a view's own win

const root = document.getElementById("app");
if (root) render(<App />, root);
