// Runs the tests before a gateway in memory: quick, and without a platform.
import { spawn } from "node:child_process";
import { preview } from "vite";

const server = await preview({ configFile: "vite.fake.config.ts", logLevel: "error", preview: { port: 0, host: "127.0.0.1" } });
const { port } = server.httpServer.address();
const url = `http://127.0.0.1:${port}`;
const files = process.argv.slice(2);
const tests = spawn(process.execPath, ["--test", "--test-concurrency=1", ...(files.length ? files : ["e2e/"])], {
  stdio: "inherit",
  env: { ...process.env, KEELSONTEST_CONSOLE_FAKE: "1", KEELSONTEST_CONSOLE_URL: url, KEELSONTEST_CONSOLE_CONTROL: `${url}/fake` },
});
const code = await new Promise((resolve) => tests.once("exit", resolve));
process.exit(code ?? 1);
