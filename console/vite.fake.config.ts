// The console before a gateway in memory: `npm run fake` serves what was built.
import { mergeConfig } from "vite";
import { fakeGateway } from "./fake/plugin.js";
import config from "./vite.config.js";

export default mergeConfig(config, { plugins: [fakeGateway()], server: { proxy: {} }, preview: { host: "127.0.0.1" } });
