// Drives a running network with foreign clients and prints one line per item; exits 1 if any failed.
//
//   oceanid dev --config-out /tmp/oceanid.json &
//   OCEANID_CONFIG=/tmp/oceanid.json node run.mjs [filter ...]
//
// A filter is a part of an item's name; without one, everything runs, in order (later items may use what earlier ones left on chain).
import { loadNetwork } from './lib/network.mjs'

const modules = ['reads', 'transactions', 'tokens', 'subscriptions', 'bridge', 'forced', 'token-bridge', 'uniswap', 'ethers', 'cast', 'forge', 'follower']
/** An item that takes longer has hung: milliseconds. */
const ITEM_TIMEOUT = 180_000

const filters = process.argv.slice(2)
const network = await loadNetwork()
const items = []
for (const name of modules) {
  const { default: list } = await import(`./items/${name}.mjs`)
  for (const [title, run] of Object.entries(list)) items.push({ title: `${name}: ${title}`, run })
}

let passed = 0
let failed = 0
for (const { title, run } of items) {
  if (filters.length && !filters.some((filter) => title.includes(filter))) continue
  const started = Date.now()
  const note = (text) => process.stderr.write(`    ${text}\n`)
  let timer
  try {
    const timeout = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no result after ${ITEM_TIMEOUT / 1000} s`)), ITEM_TIMEOUT)
    })
    await Promise.race([run(network, note), timeout])
    passed += 1
    console.log(`ok   ${title} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
  } catch (error) {
    failed += 1
    console.log(`FAIL ${title}`)
    console.log(String(error?.stack ?? error).split('\n').slice(0, 25).map((line) => `     ${line}`).join('\n'))
  } finally {
    clearTimeout(timer)
  }
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
