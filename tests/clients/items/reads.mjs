// What any wallet asks first.
import assert from 'node:assert/strict'
import { parseEther } from 'viem'
import { artifact } from '../lib/artifacts.mjs'
import { MULTICALL3, ROLE, until } from '../lib/network.mjs'

export default {
  'chain ids of both sides': async ({ config, l1, l2 }) => {
    assert.equal(await l1.getChainId(), config.l1.chainId)
    assert.equal(await l2.getChainId(), config.l2.chainId)
    assert.equal(await l2.request({ method: 'net_version' }), String(config.l2.chainId))
    assert.match(await l2.request({ method: 'web3_clientVersion' }), /oceanid/i)
  },

  'development accounts hold METIS, and the coin answers as an ERC-20': async ({ config, accounts, l2 }) => {
    const { address } = accounts[ROLE.receiver]
    const balance = await l2.getBalance({ address })
    assert.ok(balance >= parseEther('10000'), `balance ${balance}`)
    const native = { address: config.contracts.l2.nativeToken, abi: artifact('NativeToken').abi }
    assert.equal(await l2.readContract({ ...native, functionName: 'balanceOf', args: [address] }), balance)
    assert.equal(await l2.readContract({ ...native, functionName: 'symbol' }), 'METIS')
  },

  'genesis and blocks by number, hash and tag': async ({ config, l2 }) => {
    const genesis = await l2.getBlock({ blockNumber: 0n })
    assert.equal(genesis.hash, config.genesisHash)
    // A young idle network makes its first block at the first heartbeat.
    await until('a block after genesis', async () => (await l2.getBlockNumber()) > 0n)
    const latest = await l2.getBlock({ blockTag: 'latest' })
    const parent = await l2.getBlock({ blockHash: latest.parentHash })
    assert.equal(parent.number, latest.number - 1n)
    const [safe, finalized] = await Promise.all(['safe', 'finalized'].map((blockTag) => l2.getBlock({ blockTag })))
    assert.ok(finalized.number <= safe.number, `finalized ${finalized.number}, safe ${safe.number}`)
  },

  'fees and gas estimates': async ({ accounts, l2 }) => {
    const { maxFeePerGas, maxPriorityFeePerGas } = await l2.estimateFeesPerGas()
    assert.ok(maxFeePerGas > 0n && maxPriorityFeePerGas >= 0n)
    assert.ok((await l2.getGasPrice()) > 0n)
    const history = await l2.getFeeHistory({ blockCount: 2, rewardPercentiles: [25, 75] })
    assert.ok(history.baseFeePerGas.length >= 2)
    const gas = await l2.estimateGas({ account: accounts[ROLE.transfers], to: accounts[ROLE.receiver].address, value: 1n })
    assert.equal(gas, 21_000n)
  },

  'multicall through Multicall3': async ({ config, accounts, l2 }) => {
    assert.ok(await l2.getCode({ address: MULTICALL3 }))
    const native = { address: config.contracts.l2.nativeToken, abi: artifact('NativeToken').abi }
    const results = await l2.multicall({
      allowFailure: false,
      contracts: [
        { ...native, functionName: 'decimals' },
        { ...native, functionName: 'balanceOf', args: [accounts[ROLE.receiver].address] },
      ],
    })
    assert.equal(results[0], 18)
    assert.equal(results[1], await l2.getBalance({ address: accounts[ROLE.receiver].address }))
  },

  'account proof': async ({ config, l2 }) => {
    const proof = await l2.getProof({ address: config.contracts.l2.committeeRegistry, storageKeys: [`0x${'1'.padStart(64, '0')}`] })
    assert.ok(proof.accountProof.length > 0)
    assert.ok(proof.storageProof[0].value >= 1n, 'the registry knows a committee')
  },

  'output root and sync status': async ({ l2 }) => {
    const safe = await l2.getBlock({ blockTag: 'safe' })
    const output = await l2.request({ method: 'optimism_outputAtBlock', params: [`0x${safe.number.toString(16)}`] })
    assert.match(output.outputRoot, /^0x[0-9a-f]{64}$/)
    assert.equal(output.stateRoot, safe.stateRoot)
    const status = await l2.request({ method: 'optimism_syncStatus' })
    assert.ok(BigInt(status.unsafe_l2.number) >= safe.number)
  },

  'unknown methods and bad parameters get JSON-RPC errors': async ({ config }) => {
    const ask = async (method, params) => {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
      const response = await fetch(config.l2.http, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      return (await response.json()).error
    }
    assert.equal((await ask('eth_nonsense', [])).code, -32601)
    assert.equal((await ask('eth_getBalance', ['0x12', 'latest'])).code, -32602)
    assert.ok((await ask('eth_sendRawTransaction', ['0x00'])).message)
  },
}
