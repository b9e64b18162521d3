// Writes test/vectors: keys, signatures and tries made by libraries that share nothing with the contracts. Deterministic; with --check
// nothing is written, and any difference from the committed files is an error.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createMPT, createMerkleProof } from "@ethereumjs/mpt";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import { keccak_256 } from "@noble/hashes/sha3.js";

const folder = join(dirname(fileURLToPath(import.meta.url)), "../test/vectors");
mkdirSync(folder, { recursive: true });
const hex = (bytes) => `0x${Buffer.from(bytes).toString("hex")}`;
const digest = (...parts) => createHash("sha256").update(parts.join("/")).digest();
const check = process.argv.includes("--check");
const write = (name, data) => {
  const text = `${JSON.stringify(data, null, 1)}\n`;
  if (!check) return writeFileSync(join(folder, name), text);
  if (readFileSync(join(folder, name), "utf8") === text) return undefined;
  console.error(`test/vectors/${name} differs; run "npm run vectors" and review`);
  process.exitCode = 1;
  return undefined;
};

// ---- BLS12-381, variant MinSig ----
const element = (n) => n.toString(16).padStart(128, "0");
const g1 = (p) => { const { x, y } = p.toAffine(); return `0x${element(x)}${element(y)}`; };
const g2 = (p) => { const { x, y } = p.toAffine(); return `0x${element(x.c0)}${element(x.c1)}${element(y.c0)}${element(y.c1)}`; };
const ORDER = bls12_381.fields.Fr.ORDER;
const bls = { secret: [], publicKey: [], compressed: [], message: [], vote: [], possession: [] };
for (let i = 0; i < 12; i++) {
  const secret = (BigInt(hex(digest("bls", i))) % (ORDER - 1n)) + 1n;
  const message = Buffer.concat(Array.from({ length: i }, (_, j) => digest("message", i, j))).subarray(0, i * 29);
  const key = bls12_381.G2.Point.BASE.multiply(secret);
  const sign = (DST) => g1(bls12_381.G1.hashToCurve(message, { DST }).multiply(secret));
  bls.secret.push(`0x${secret.toString(16).padStart(64, "0")}`);
  bls.publicKey.push(g2(key));
  bls.compressed.push(hex(key.toBytes(true)));
  bls.message.push(hex(message));
  bls.vote.push(sign("BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"));
  bls.possession.push(sign("BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"));
}
write("bls.json", bls);

// ---- votes and certificates as commonware simplex (2026.10, bls12381_multisig, MinSig) encodes and signs them ----
// `signed`: varint(length) | namespace | suffix | message. `encoded` votes: message | varint(signer) | signature 48; certificates:
// message | u64 bits of the bitmap | bitmap, member i in bit i % 8 of byte i / 8 | aggregate signature 48.
const varint = (n) => { const out = []; for (n = BigInt(n); n > 0x7fn; n >>= 7n) out.push(Number(n & 0x7fn) | 0x80); return Buffer.from([...out, Number(n)]); };
const u64 = (n) => { const out = Buffer.alloc(8); out.writeBigUInt64BE(BigInt(n)); return out; };
const VOTE_TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
const genesis = { l1ChainId: 31337, rollup: digest("rollup").subarray(0, 20), l2ChainId: 10088, genesisHash: digest("genesis") };
const namespace = Buffer.concat([Buffer.from("OCEANID"), u64(genesis.l1ChainId), genesis.rollup, u64(genesis.l2ChainId), genesis.genesisHash]);
const members = Array.from({ length: 7 }, (_, i) => (BigInt(hex(digest("member", i))) % (ORDER - 1n)) + 1n);
const consensus = { namespace: hex(namespace), secret: members.map((s) => `0x${s.toString(16).padStart(64, "0")}`),
  publicKey: members.map((s) => g2(bls12_381.G2.Point.BASE.multiply(s))), votes: [], certificates: [] };
const KINDS = ["_NOTARIZE", "_NULLIFY", "_FINALIZE"];
// Views in one, two and nine bytes; two proposals of each.
for (const [epoch, view, parentView] of [[0, 1, 0], [300, 70000, 69999], [2 ** 40, 2n ** 63n - 1n, 127]]) {
  for (const [kind, suffix] of KINDS.entries()) {
    for (const payload of [digest("payload", 0), digest("payload", 1)]) {
      const round = Buffer.concat([varint(epoch), varint(view)]);
      const nullify = suffix === "_NULLIFY";
      const message = nullify ? round : Buffer.concat([round, varint(parentView), payload]);
      const full = Buffer.concat([namespace, Buffer.from(suffix)]);
      const signed = Buffer.concat([varint(full.length), full, message]);
      const point = bls12_381.G1.hashToCurve(signed, { DST: VOTE_TAG });
      const common = { kind, epoch, view: `0x${BigInt(view).toString(16)}`, parentView: nullify ? 0 : parentView, payload: nullify ? hex(Buffer.alloc(32)) : hex(payload), signed: hex(signed) };
      const signer = (epoch + kind) % 7;
      const vote = point.multiply(members[signer]);
      consensus.votes.push({ ...common, signer, signature: g1(vote), encoded: hex(Buffer.concat([message, varint(signer), vote.toBytes(true)])) });
      const bitmap = [0b0111110, 0b1111111, 0b1101011][kind];
      const sum = members.filter((_, i) => (bitmap >> i) & 1).reduce((a, b) => (a + b) % ORDER);
      const aggregate = point.multiply(sum);
      consensus.certificates.push({ ...common, signers: bitmap, signature: g1(aggregate),
        encoded: hex(Buffer.concat([message, u64(7), Buffer.from([bitmap]), aggregate.toBytes(true)])) });
      if (nullify) break;
    }
  }
}
consensus.count = consensus.votes.length;
write("consensus.json", consensus);

// ---- ed25519: which strings are canonical points? ----
const isPoint = (bytes) => { try { ed25519.Point.fromBytes(bytes, false); return true; } catch { return false; } };
const strings = [];
for (let i = 0; i < 48; i++) strings.push(digest("identity", i));
for (let i = 0; i < 8; i++) strings.push(ed25519.getPublicKey(digest("secret", i)));
// The edges: y = 0, 1, p - 1, p, p + 1, 2^255 - 1, each with both signs of x.
const P = 2n ** 255n - 19n;
for (const y of [0n, 1n, P - 1n, P, P + 1n, 2n ** 255n - 1n]) {
  for (const sign of [0n, 1n]) {
    strings.push(Buffer.from((y | (sign << 255n)).toString(16).padStart(64, "0"), "hex").reverse());
  }
}
write("ed25519.json", {
  point: strings.filter(isPoint).map(hex),
  other: strings.filter((s) => !isPoint(s)).map(hex),
});

// ---- Merkle-Patricia tries ----
const tries = [];
for (const [count, shape] of [[1, "hashed"], [2, "hashed"], [17, "hashed"], [400, "hashed"], [6, "near"], [40, "near"], [24, "long"]]) {
  const trie = await createMPT();
  const keys = [];
  for (let i = 0; i < count; i++) {
    const key = Buffer.from(digest("key", shape, count, i));
    // near: keys that differ in the last byte only, so that leaves are embedded in their parents; long: long common paths.
    if (shape === "near") { Buffer.from(digest("key", shape, count)).copy(key, 0, 0, 31); key[31] = (i * 37) & 0xff; }
    if (shape === "long") { Buffer.from(digest("key", shape, i % 3)).copy(key, 0, 0, 12 + (i % 9)); }
    await trie.put(key, shape === "long" ? digest("value", i) : Uint8Array.of(1));
    keys.push(key);
  }
  for (let i = 0; i < Math.min(count, 6); i++) {
    const key = keys[(i * 7) % count];
    tries.push({ root: hex(trie.root()), key: hex(key), value: hex(await trie.get(key)), proof: (await createMerkleProof(trie, key)).map(hex) });
    const absent = Buffer.from(key);
    absent[31 - (i % 2) * 31] ^= 0x11 << (i % 3);
    if (await trie.get(absent)) continue;
    tries.push({ root: hex(trie.root()), key: hex(absent), value: "0x", proof: (await createMerkleProof(trie, absent)).map(hex) });
  }
}
write("tries.json", { count: tries.length, tries });
// ---- withdrawals in a message passer's storage ----
const word = (n) => Buffer.from(BigInt(n).toString(16).padStart(64, "0"), "hex");
const padded = (data) => Buffer.concat([data, Buffer.alloc((32 - (data.length % 32)) % 32)]);
const passer = await createMPT();
const withdrawals = [];
for (let i = 0; i < 200; i++) {
  const data = i % 3 === 0 ? Buffer.alloc(0) : digest("data", i).subarray(0, (i % 32) + 1);
  const w = { nonce: (1n << 240n) + BigInt(i), sender: digest("sender", i).subarray(0, 20), target: digest("target", i % 5).subarray(0, 20),
    value: BigInt(i) * 10n ** 18n, gasLimit: BigInt(100_000 + i), data };
  // keccak256(abi.encode(nonce, sender, target, value, gasLimit, data))
  const encoded = Buffer.concat([word(w.nonce), word(hex(w.sender)), word(hex(w.target)), word(w.value), word(w.gasLimit), word(192), word(data.length), padded(data)]);
  w.hash = Buffer.from(keccak_256(encoded));
  w.key = keccak_256(keccak_256(Buffer.concat([w.hash, word(0)])));
  await passer.put(w.key, Uint8Array.of(1));
  withdrawals.push(w);
}
await passer.put(keccak_256(word(1)), Uint8Array.of(0x81, 0xc8)); // the nonce in slot 1
write("withdrawals.json", {
  root: hex(passer.root()),
  withdrawals: await Promise.all([1, 3, 7, 64, 199].map(async (i) => {
    const w = withdrawals[i];
    return { nonce: hex(word(w.nonce)), sender: hex(w.sender), target: hex(w.target), value: hex(word(w.value)), gasLimit: hex(word(w.gasLimit)),
      data: hex(w.data), hash: hex(w.hash), proof: (await createMerkleProof(passer, w.key)).map(hex) };
  })),
});
console.log(`${bls.secret.length} BLS keys, ${consensus.count} votes, ${strings.length} ed25519 strings, ${tries.length} trie proofs`);
