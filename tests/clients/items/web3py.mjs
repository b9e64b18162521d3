// web3.py, in the private environment that the step `clients` of ./test makes.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { testToken } from '../lib/artifacts.mjs'
import { freshAccount } from '../lib/fresh.mjs'
import { ROLE } from '../lib/network.mjs'

const run = promisify(execFile)
const file = (path) => fileURLToPath(new URL(path, import.meta.url))
const python = process.env.OCEANID_WEB3_PYTHON ?? file('../../../target/tools/web3py/bin/python')

export default {
  'deploy, call, send, events, fees, a refusal': async (network) => {
    const { key } = await freshAccount(network)
    const { abi, bytecode } = testToken()
    const env = {
      ...process.env,
      URL: network.config.l2.http,
      KEY: key,
      ABI: JSON.stringify(abi),
      BYTECODE: bytecode,
      RECEIVER: network.accounts[ROLE.receiver].address,
    }
    const { stdout } = await run(python, [file('../web3py/job.py')], { env })
    const { client, refused, ...result } = JSON.parse(stdout)
    assert.match(client, /oceanid/i)
    assert.match(refused, /Contract|Error/)
    assert.deepEqual(result, {
      paid: 1,
      received: (10n ** 18n).toString(),
      symbol: 'WAV',
      balance: 9,
      sent: 1,
      events: 2,
      baseFees: 3,
      pending: 3,
    })
  },
}
