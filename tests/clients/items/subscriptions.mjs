// Subscriptions over ws: new heads, and logs of one contract.
import assert from 'node:assert/strict'
import { testToken } from '../lib/artifacts.mjs'
import { ROLE, mined, until } from '../lib/network.mjs'

export default {
  'newHeads and logs': async ({ l2, l2Wallet, accounts, socket }) => {
    const { abi, bytecode } = testToken()
    const wallet = l2Wallet(ROLE.tokens)
    const deployed = await mined(l2, await wallet.deployContract({ abi, bytecode, args: ['Tide', 'TDE', 1_000n] }))
    const token = { address: deployed.contractAddress, abi }

    const client = socket()
    const heads = []
    const values = []
    const errors = []
    const onError = (error) => errors.push(error)
    const stopHeads = client.watchBlockNumber({ onBlockNumber: (number) => heads.push(number), onError, poll: false })
    const stopLogs = client.watchContractEvent({
      ...token,
      eventName: 'Transfer',
      onLogs: (logs) => values.push(...logs.map(({ args }) => args.value)),
      onError,
      poll: false,
    })
    // Both subscriptions are open once the socket has answered something sent after them.
    await client.getChainId()
    await new Promise((resolve) => setTimeout(resolve, 300))
    for (const value of [1n, 2n, 3n]) {
      const args = [accounts[ROLE.receiver].address, value]
      await mined(l2, await wallet.writeContract({ ...token, functionName: 'transfer', args }))
    }
    await until('three logs over ws', () => values.length >= 3, 20_000)
    await until('heads over ws', () => heads.length >= 2, 20_000)
    stopHeads()
    stopLogs()
    assert.deepEqual(errors, [])
    assert.deepEqual(values, [1n, 2n, 3n])
    assert.deepEqual(heads, [...heads].sort((a, b) => Number(a - b)))
    ;(await client.transport.getRpcClient()).close()
  },
}
