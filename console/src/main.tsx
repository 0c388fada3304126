import { render } from "preact";
import { App } from "./app.js";
import { runClock } from "./lib/clock.js";
import { listenToHistory } from "./lib/route.js";
import { loadConfig } from "./platform/links.js";
import "./styles/index.css";

listenToHistory();
runClock();
void loadConfig();
const app = document.getElementById("app")!;
app.replaceChildren(); // what said that this loads
render(<App />, app);
