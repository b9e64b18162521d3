// forge with its own exit code. The launcher of `@foundry-rs/forge` ends with 0 whatever forge ended with, so that a failing test would pass.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const cpu = { x64: "amd64", arm64: "arm64" }[process.arch];
const name = process.platform === "win32" ? "forge.exe" : "forge";
const path = `@foundry-rs/forge-${process.platform}-${cpu}/bin/${name}`;
const binary = createRequire(import.meta.url).resolve(path);

/** Runs forge; its exit code, 1 if a signal ended it. */
export function forge(args, options = {}) {
  const { status, error } = spawnSync(binary, args, { stdio: "inherit", ...options });
  if (error) throw error;
  return status ?? 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = forge(process.argv.slice(2));
