import { fileURLToPath } from "node:url";
import type { UserConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// The gateway that `npm run dev` hands calls to.
const gateway = process.env.KEELSON_GATEWAY ?? "http://127.0.0.1:8080";

const config: UserConfig & { test: object } = {
  base: "/console/",
  resolve: {
    // The sources of the client, also where Node would take what is built of it.
    alias: [
      { find: /^@keelson\/client$/, replacement: here("../clients/typescript/src/index.ts") },
      { find: /^@keelson\/client\/gen\/(.*)$/, replacement: here("../clients/typescript/src/gen/") + "$1.ts" },
    ],
    // The client lies outside of this folder and uses our copies.
    dedupe: ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web"],
  },
  build: {
    target: ["chrome125", "firefox127", "safari17.5"],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: {
    host: "127.0.0.1",
    proxy: { "^/(?!console/)": { target: gateway, changeOrigin: true } },
  },
  test: { include: ["test/**/*.test.ts"] },
};

export default config;
