// Compiles the contracts and writes what others rely on: artifacts/<Name>.json and snapshots/{abi,storage-layout,size}.
// With --check nothing is written; any difference from the committed files is an error that names the file.
import { forge } from "./forge.mjs";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const check = process.argv.includes("--check");

/** Every contract that is deployed or put into the L2 genesis, and one that carries the gas figure of the certificate. */
const CONTRACTS = [
  "OceanidToken", "Timelock", "SequencerPool", "CommitteeBuilder", "UnbondingTicket", "Portal", "L1Bridge", "Rollup", "Slasher",
  "GasPriceOracle", "MiningRewards", "FeeSplitter",
  "L2ToL1MessagePasser", "L1BlockInfo", "CommitteeRegistry", "EpochLedger", "FeeVault", "NativeToken", "L2Bridge", "BridgedERC20",
  "CertificateOnly",
];
/** EIP-170, bytes. */
const CODE_LIMIT = 24576;

// All sources and nothing but sources, from scratch: with the IR pipeline the bytes depend on what is compiled together.
const forgeEnv = { ...process.env, FOUNDRY_OUT: "out/export", FOUNDRY_CACHE_PATH: "cache/export" };
const build = forge(["build", "--quiet", "--force", "--skip", "test"], { cwd: root, stdio: ["ignore", "ignore", "inherit"], env: forgeEnv });
if (build !== 0) throw new Error(`forge build ended with ${build}`);

const type = (p) =>
  p.type.startsWith("tuple") ? `(${p.components.map((c) => `${type(c)} ${c.name}`).join(", ")})${p.type.slice(5)}` : p.type;
const params = (list) => list.map((p) => [type(p), p.indexed && "indexed", p.name].filter(Boolean).join(" ")).join(", ");
const signature = (item) => {
  const head = `${item.type}${item.name ? ` ${item.name}` : ""}`;
  const mutability = ["view", "pure", "payable"].includes(item.stateMutability) ? ` ${item.stateMutability}` : "";
  const outputs = item.outputs?.length ? ` returns (${params(item.outputs)})` : "";
  return `${head}${item.inputs ? `(${params(item.inputs)})` : ""}${mutability}${outputs}`;
};

const files = {};
const sizes = [];
for (const name of CONTRACTS) {
  const out = JSON.parse(readFileSync(join(root, `out/export/${name}.sol/${name}.json`), "utf8"));
  const immutables = out.deployedBytecode.immutableReferences ?? {};
  const artifact = { contractName: name, abi: out.abi, bytecode: out.bytecode.object, deployedBytecode: out.deployedBytecode.object };
  if (Object.keys(immutables).length) artifact.immutableReferences = immutables;
  files[`artifacts/${name}.json`] = `${JSON.stringify(artifact, null, 2)}\n`;
  files[`snapshots/abi/${name}.txt`] = `${out.abi.map(signature).sort().join("\n")}\n`;
  const layout = out.storageLayout?.storage ?? [];
  const typeName = (t) => out.storageLayout.types[t].label;
  files[`snapshots/storage-layout/${name}.txt`] =
    layout.map((s) => `slot ${s.slot} offset ${s.offset}: ${typeName(s.type)} ${s.label}`).join("\n") + (layout.length ? "\n" : "none\n");
  const size = (out.deployedBytecode.object.length - 2) / 2;
  if (size > CODE_LIMIT) throw new Error(`${name}: ${size} bytes of code, limit ${CODE_LIMIT}`);
  sizes.push(`${name.padEnd(22)}${String(size).padStart(6)}`);
}
files["snapshots/size/bytes.txt"] = `${sizes.join("\n")}\n`;

const stale = [];
for (const [path, text] of Object.entries(files)) {
  const full = join(root, path);
  const current = existsSync(full) ? readFileSync(full, "utf8") : null;
  if (current === text) continue;
  if (check) {
    stale.push(path);
  } else {
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
    console.log(`wrote ${path}`);
  }
}
for (const folder of ["artifacts", "snapshots/abi", "snapshots/storage-layout", "snapshots/size"]) {
  for (const file of existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : []) {
    if (!files[`${folder}/${file}`]) stale.push(`${folder}/${file} (no such contract)`);
  }
}
if (stale.length) {
  console.error(`differs from the sources; run "npm run build" and review:\n  ${stale.join("\n  ")}`);
  process.exitCode = 1;
}
