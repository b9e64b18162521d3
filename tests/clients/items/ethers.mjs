// ethers v6: another client library from end to end.
import assert from 'node:assert/strict'
import { Contract, ContractFactory, JsonRpcProvider, NonceManager, Wallet, WebSocketProvider, parseEther } from 'ethers'
import { testToken } from '../lib/artifacts.mjs'
import { ROLE, until } from '../lib/network.mjs'

const polling = ({ l2 }) => new JsonRpcProvider(l2.http, undefined, { polling: true, pollingInterval: 250, cacheTimeout: -1 })

export default {
  'transfer, deploy, call, events': async ({ config, keys, accounts }) => {
    const provider = polling(config)
    try {
      assert.equal((await provider.getNetwork()).chainId, BigInt(config.l2.chainId))
      const signer = new NonceManager(new Wallet(keys[ROLE.ethers], provider))
      const to = accounts[ROLE.receiver].address
      const before = await provider.getBalance(to)
      const sent = await (await signer.sendTransaction({ to, value: parseEther('0.5') })).wait(1, 60_000)
      assert.equal(sent.status, 1)
      assert.equal((await provider.getBalance(to)) - before, parseEther('0.5'))

      const { abi, bytecode } = testToken()
      const token = await new ContractFactory(abi, bytecode, signer).deploy('Foam', 'FOM', 900n)
      await token.waitForDeployment()
      const receipt = await (await token.transfer(to, 33n)).wait(1, 60_000)
      assert.equal(await token.balanceOf(to), 33n)
      const events = await token.queryFilter(token.filters.Transfer(null, to), receipt.blockNumber, receipt.blockNumber)
      assert.equal(events[0].args.value, 33n)
      await assert.rejects(token.transfer.staticCall(to, 10_000n), (error) => error.revert?.name === 'InsufficientBalance' || assert.fail(error.message))
    } finally {
      provider.destroy()
    }
  },

  'logs over ws': async ({ config, keys, accounts }) => {
    // Sent and awaited over http: ethers waits for a next block over ws, which an idle chain makes at its heartbeat.
    const provider = polling(config)
    const socket = new WebSocketProvider(config.l2.ws)
    try {
      const signer = new NonceManager(new Wallet(keys[ROLE.ethers], provider))
      const { abi, bytecode } = testToken()
      const token = await new ContractFactory(abi, bytecode, signer).deploy('Spray', 'SPR', 50_000n)
      await token.waitForDeployment()
      const values = []
      const listener = new Contract(token.target, abi, socket)
      await listener.on('Transfer', (_from, _to, value) => values.push(value))
      // ethers does not say when the subscription is open: transfers until one is heard.
      await until('a log over ws', async () => {
        await (await token.transfer(accounts[ROLE.receiver].address, 21n)).wait(1, 60_000)
        return values.length > 0
      })
      assert.ok(values.every((value) => value === 21n))
      // This sends `eth_unsubscribe` and nobody can await it; destroying the provider before its answer rejects it, unhandled.
      await listener.removeAllListeners()
      await socket.send('net_version', [])
      await new Promise((resolve) => setTimeout(resolve, 500))
    } finally {
      await socket.destroy()
      provider.destroy()
    }
  },
}
