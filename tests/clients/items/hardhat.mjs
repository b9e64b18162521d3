// hardhat, whose provider fills in and signs what a script sends.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { encodeDeployData, encodeFunctionData } from 'viem'
import { testToken } from '../lib/artifacts.mjs'
import { freshAccount } from '../lib/fresh.mjs'
import { ROLE } from '../lib/network.mjs'

const run = promisify(execFile)
const project = fileURLToPath(new URL('../hardhat/', import.meta.url))

export default {
  'a script deploys, sends, calls and reads logs': async (network) => {
    const { key, address } = await freshAccount(network)
    const { abi, bytecode } = testToken()
    const receiver = network.accounts[ROLE.receiver].address
    const env = {
      ...process.env,
      HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true',
      URL: network.config.l2.http,
      KEY: key,
      BYTECODE: encodeDeployData({ abi, bytecode, args: ['Wave', 'WAV', 500n] }),
      TRANSFER: encodeFunctionData({ abi, functionName: 'transfer', args: [receiver, 9n] }),
      BALANCE: encodeFunctionData({ abi, functionName: 'balanceOf', args: [receiver] }),
    }
    const { stdout } = await run(`${project}node_modules/.bin/hardhat`, ['run', '--no-compile', 'job.js'], { cwd: project, env })
    const result = JSON.parse(stdout.trim().split('\n').at(-1))
    const nine = `0x${(9n).toString(16).padStart(64, '0')}`
    assert.deepEqual(result, { from: address.toLowerCase(), deployed: '0x1', sent: '0x1', balance: nine, logs: 2 })
  },
}
