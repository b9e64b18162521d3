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
    const transfer = async (value) =>
      mined(l2, await wallet.writeContract({ ...token, functionName: 'transfer', args: [accounts[ROLE.receiver].address, value] }))
    const some = () => values.filter((value) => value > 0n)
    try {
      // viem does not say when its subscriptions are open: nothing is sent until it is heard.
      await until('both subscriptions to be open', async () => (await transfer(0n)) && values.length > 0 && heads.length > 0)
      for (const value of [1n, 2n, 3n]) await transfer(value)
      await until('three logs over ws', () => some().length >= 3)
      await until('heads over ws', () => heads.length >= 2)
      stopHeads()
      stopLogs()
      assert.deepEqual(errors, [])
      assert.deepEqual(some(), [1n, 2n, 3n])
      assert.deepEqual(heads, [...heads].sort((a, b) => Number(a - b)))
    } finally {
      ;(await client.transport.getRpcClient()).close()
    }
  },
}
