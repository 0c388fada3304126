// Fails when what a first visit loads is larger than it may be: everything that
// index.html names, and what its scripts import before anything is shown.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 200 * 1024;
const dist = new URL("../dist/", import.meta.url);

const seen = new Set();
function load(file) {
  if (seen.has(file)) return;
  seen.add(file);
  const text = readFileSync(new URL(file, dist), "utf8");
  if (!file.endsWith(".js")) return;
  for (const [, path] of text.matchAll(/(?:^|[;}\n])\s*(?:import|export)\b[^;"'()]*["']\.\/([\w.-]+\.js)["']/g)) load(`assets/${path}`);
}

const html = readFileSync(new URL("index.html", dist), "utf8");
seen.add("index.html");
for (const [, path] of html.matchAll(/(?:src|href)="\/console\/([^"]+)"/g)) load(path);

let total = 0;
for (const file of [...seen].sort()) {
  const size = gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
  total += size;
  console.log(`${String(size).padStart(8)}  ${file}`);
}
console.log(`${String(total).padStart(8)}  bytes gzipped on the first load, of ${LIMIT}`);
if (total > LIMIT) process.exit(1);
