// ethers v6: another client library from end to end.
import assert from 'node:assert/strict'
import { Contract, ContractFactory, JsonRpcProvider, NonceManager, Wallet, WebSocketProvider, parseEther } from 'ethers'
import { testToken } from '../lib/artifacts.mjs'
import { ROLE } from '../lib/network.mjs'

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
      const token = await new ContractFactory(abi, bytecode, signer).deploy('Spray', 'SPR', 50n)
      await token.waitForDeployment()
      const heard = new Promise((resolve) => {
        new Contract(token.target, abi, socket).once('Transfer', (_from, _to, value) => resolve(value))
      })
      await socket.getBlockNumber()
      await new Promise((resolve) => setTimeout(resolve, 300))
      await (await token.transfer(accounts[ROLE.receiver].address, 21n)).wait(1, 60_000)
      assert.equal(await heard, 21n)
      // `once` sends `eth_unsubscribe` and nobody can await it; destroying the provider before its answer rejects it, unhandled.
      await socket.send('net_version', [])
    } finally {
      await socket.destroy()
      provider.destroy()
    }
  },
}
