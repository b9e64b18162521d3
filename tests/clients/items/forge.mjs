// forge script --broadcast.
import assert from 'node:assert/strict'
import { readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseAbi } from 'viem'
import { ROLE } from '../lib/network.mjs'
import { tool } from '../lib/tool.mjs'

const project = fileURLToPath(new URL('../forge', import.meta.url))

export default {
  'script --broadcast deploys and calls': async ({ config, keys, l2 }) => {
    rmSync(`${project}/broadcast`, { recursive: true, force: true })
    const url = config.l2.http
    await tool(
      'forge',
      ['script', 'script/Count.s.sol:Count', '--root', project, '--rpc-url', url, '--private-key', keys[ROLE.forge], '--broadcast', '--slow'],
      { cwd: project },
    )
    const run = JSON.parse(readFileSync(`${project}/broadcast/Count.s.sol/${config.l2.chainId}/run-latest.json`, 'utf8'))
    assert.equal(run.receipts.length, 5)
    assert.ok(run.receipts.every(({ status }) => status === '0x1'))
    const abi = parseAbi(['function total() view returns (uint256)'])
    const [plain, salted] = run.transactions.filter(({ contractName, transactionType }) => contractName === 'Counter' && transactionType.startsWith('CREATE'))
    assert.equal(await l2.readContract({ address: plain.contractAddress, abi, functionName: 'total' }), 42n)
    assert.equal(await l2.readContract({ address: salted.contractAddress, abi, functionName: 'total' }), 1n)
  },
}
