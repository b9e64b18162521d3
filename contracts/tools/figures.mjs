// Writes the gas tables of docs/contracts.md from snapshots/gas. With --check nothing is written; a difference is an error.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const page = join(root, "../docs/contracts.md");
const [BEGIN, END] = ["<!-- written by contracts/tools/figures.mjs -->\n", "<!-- end of what is written -->\n"];
/** One transaction certificate of the naive prototype, gas: nothing in this repository can measure it again. */
const PROTOTYPE = { "4 members, 1 absent": ["004", 190_741], "100 members, 33 absent": ["100", 308_200] };

const groups = {};
for (const file of readdirSync(join(root, "snapshots/gas"))) {
  groups[file.replace(".json", "")] = JSON.parse(readFileSync(join(root, "snapshots/gas", file), "utf8"));
}
const value = (group, name) => {
  const found = groups[group]?.[name];
  if (found === undefined) throw new Error(`snapshots/gas/${group}.json has no "${name}"; run "npm run gas"`);
  return Number(found);
};
const gas = (group, name) => value(group, name).toLocaleString("en-US");
const table = (head, rows) => [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |\n`).join("");
const SIZES = ["004", "016", "050", "100"];
const members = (size) => String(Number(size));

const present = "members, all present";
const absent = "members, a third absent";
const scattered = "046 members, 15 absent, each key in a page of its own";
const certificates = table(
  ["members", "certificate alone", "a third absent", "`submitBatch`", "a third absent"],
  [
    ...SIZES.map((size) => [
      members(size),
      gas("certificate", `${size} ${present}`), gas("certificate", `${size} ${absent}`),
      gas("submitBatch", `${size} ${present}`), gas("submitBatch", `${size} ${absent}`),
    ]),
    ["46, the 15 absent ones with pages of their own (the worst that rotations leave)", "", gas("certificate", scattered), "", gas("submitBatch", scattered)],
  ],
);
const rollup = table(
  ["`submitBatch` with a hand-over", "without data", "with 40,000 bytes of calldata", "`repostData`, first for its batch", "by an outsider", "`recover`"],
  [["submitBatch, hand-over", "submitBatch, no data", "submitBatch, 40,000 bytes of calldata", "repostData", "repostData, by an outsider", "recover"].map((name) => gas("rollup", name))],
);
const slasher = table(
  ["members", "equivocation", "nullify and finalize", "fork, a third guilty", "`punish` everybody"],
  ["004", "100"].map((size) => [
    members(size),
    ...["equivocation", "nullify and finalize", "fork", "punish them all"].map((name) => gas("slasher", `${size} members, ${name}`)),
  ]),
);
const fork = `\`submitFork\` against 24 of 100 members that hold 31 tickets each, the part that a keeper sends at a time: ${gas("slasher", "100 members, fork, 24 of the guilty with 31 tickets each")}.\n`;
const portal = table(
  ["`depositTransaction`", "`depositERC20Transaction`", "`proveWithdrawalTransaction`, one trie node", "`finalizeWithdrawalTransaction`, no call"],
  [["depositTransaction", "depositERC20Transaction", "proveWithdrawalTransaction, one trie node", "finalizeWithdrawalTransaction, no call"].map((name) => gas("portal", name))],
);
const prototype =
  "Certificate alone, against the naive prototype (one transaction each):\n\n" +
  table(
    ["case", "prototype", "here", "ratio"],
    Object.entries(PROTOTYPE).map(([name, [size, theirs]]) => [
      name, theirs.toLocaleString("en-US"), gas("certificate", `${size} ${absent}`), (value("certificate", `${size} ${absent}`) / theirs).toFixed(2),
    ]),
  );
const ROTATION = { "first rotation (joins all, shares pages)": "first rotation", "rotation, nobody joins": "nobody joins", "rotation, 4 join": "4 join", "`seal`": "seal", "`packKeys`": "packKeys" };
const rotation = table(
  ["members", ...Object.keys(ROTATION)],
  SIZES.map((size) => [
    members(size),
    ...Object.values(ROTATION).map((name) => (size === "100" && name === "4 join" ? "" : gas("rotation", `${size} members, ${name}`))),
  ]),
);
const limits =
  `With 256 active and 100 seats a rotation costs ${gas("rotation", "256 active, the same committee of 100")}, and at worst (another 100 members, all with pages of their own, in any order; 16 leave and 16 join) ` +
  `${gas("rotation", "256 active, another committee of 100, 16 leave and 16 join")},\nbelow the 16,777,216 that one transaction may use on L1. No cost depends on the order of identities, weights or exits: everything is sorted by\nbinary insertion.\n`;
const code = (name) => name.replace(/^[^,]+/, "`$&`");
const pool = table(["call of the pool", "gas"], Object.keys(groups.pool).sort().map((name) => [code(name), gas("pool", name)]));

const written = [certificates, rollup, slasher, fork, portal, prototype, rotation, limits, pool].join("\n");
const text = readFileSync(page, "utf8");
const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
if (from < 0 || to < from) throw new Error(`${page}: the marks around the gas tables are gone`);
const next = text.slice(0, from + BEGIN.length) + "\n" + written + "\n" + text.slice(to);
if (next !== text) {
  if (process.argv.includes("--check")) {
    console.error('the gas tables of docs/contracts.md differ from snapshots/gas; run "node tools/figures.mjs" and review');
    process.exitCode = 1;
  } else {
    writeFileSync(page, next);
    console.log("wrote the gas tables of docs/contracts.md");
  }
}
