// Drives a network with foreign clients and prints one line per item; exits 1 if any failed.
//
//   node run.mjs --oceanid PATH [--l1 anvil]     starts a network of its own and stops it at the end
//   OCEANID_CONFIG=FILE node run.mjs             uses one that runs (FILE: what `oceanid dev --config-out` wrote)
//
// Further arguments are filters: an item runs if its name contains one of them. Items run in order, each group with accounts of its own.
import { loadNetwork } from './lib/network.mjs'
import { startNetwork } from './lib/start.mjs'

const modules = ['reads', 'transactions', 'tokens', 'subscriptions', 'bridge', 'forced', 'token-bridge', 'uniswap', 'ethers', 'cast', 'web3py', 'hardhat', 'forge', 'rotation', 'follower', 'pages']
/** An item that takes longer has hung: milliseconds. Longer than all that an item waits for itself. */
const ITEM_TIMEOUT = 600_000

const { oceanid, l1, filters } = parseArguments(process.argv.slice(2))
if (oceanid) process.env.OCEANID = oceanid
const stop = oceanid ? await startNetwork(oceanid, l1) : undefined
let failed = 1
/** Ends what was started, whatever ends this. */
const end = async (why) => {
  console.error(why)
  await stop?.()
  process.exit(1)
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end(signal))
for (const fault of ['uncaughtException', 'unhandledRejection']) process.once(fault, (error) => end(`${fault}: ${error?.stack ?? error}`))
try {
  failed = await runItems()
} finally {
  await stop?.()
}
process.exit(failed === 0 ? 0 : 1)

/** Runs what the filters select and returns the number of failures. */
async function runItems() {
  const network = await loadNetwork()
  let [passed, failures] = [0, 0]
  for (const name of modules) {
    const { default: list } = await import(`./items/${name}.mjs`)
    for (const [text, run] of Object.entries(list)) {
      const title = `${name}: ${text}`
      if (filters.length && !filters.some((filter) => title.includes(filter))) continue
      const { ok, hung } = await runItem(title, run, network)
      if (hung) return failures + 1 // It goes on with its account: what follows would fail for its sake.
      if (ok) passed += 1
      else failures += 1
    }
  }
  if (passed + failures === 0) throw new Error(`no item matches ${filters.join(' ')}`)
  console.log(`${passed} passed, ${failures} failed`)
  return failures
}

async function runItem(title, run, network) {
  const started = Date.now()
  const note = (text) => process.stderr.write(`     ${text}\n`)
  let [timer, hung] = [undefined, false]
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => {
      hung = true
      reject(new Error(`no result after ${ITEM_TIMEOUT / 1000} s`))
    }, ITEM_TIMEOUT)
  })
  try {
    await Promise.race([run(network, note), timeout])
    console.log(`ok   ${title} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
    return { ok: true, hung }
  } catch (error) {
    const text = String(error?.stack ?? error).split('\n').slice(0, 25)
    console.log([`FAIL ${title}`, ...text.map((line) => `     ${line}`)].join('\n'))
    return { ok: false, hung }
  } finally {
    clearTimeout(timer)
  }
}

function parseArguments(list) {
  const options = { filters: [] }
  while (list.length) {
    const argument = list.shift()
    if (argument === '--oceanid') options.oceanid = list.shift()
    else if (argument === '--l1') options.l1 = list.shift()
    else if (argument.startsWith('--')) throw new Error(`unknown option ${argument}`)
    else options.filters.push(argument)
  }
  if (options.l1 !== undefined && options.l1 !== 'anvil') throw new Error(`--l1 ${options.l1}: only anvil is known`)
  if (options.l1 !== undefined && options.oceanid === undefined) throw new Error('--l1 needs --oceanid')
  return options
}
