// Foundry's cast, as a person would type it.
import assert from 'node:assert/strict'
import { testToken } from '../lib/artifacts.mjs'
import { ROLE } from '../lib/network.mjs'
import { tool } from '../lib/tool.mjs'

const cast = (network, ...args) => tool('cast', args, { env: { ETH_RPC_URL: network.config.l2.http } })

export default {
  'chain-id, block, balance, gas-price, nonce': async (network) => {
    const { config, accounts } = network
    const { address } = accounts[ROLE.cast]
    assert.equal(await cast(network, 'chain-id'), String(config.l2.chainId))
    assert.ok(Number(await cast(network, 'block-number')) >= 0)
    assert.match(await cast(network, 'block', 'latest'), /baseFeePerGas/)
    assert.equal(BigInt(await cast(network, 'balance', address)), await network.l2.getBalance({ address }))
    assert.ok(BigInt(await cast(network, 'gas-price')) > 0n)
    assert.equal(Number(await cast(network, 'nonce', address)), await network.l2.getTransactionCount({ address }))
    assert.match(await cast(network, 'client'), /oceanid/i)
  },

  'send value, deploy, call, send, logs, receipt': async (network) => {
    const { accounts, keys, l2 } = network
    const to = accounts[ROLE.receiver].address
    const key = ['--private-key', keys[ROLE.cast]]
    const before = await l2.getBalance({ address: to })
    const sent = JSON.parse(await cast(network, 'send', to, '--value', '1ether', '--json', ...key))
    assert.equal(sent.status, '0x1')
    assert.equal((await l2.getBalance({ address: to })) - before, 10n ** 18n)

    const { bytecode, abi } = testToken()
    const constructor = await tool('cast', ['abi-encode', 'constructor(string,string,uint256)', 'Wave', 'WAV', '500'])
    const deployed = JSON.parse(await cast(network, 'send', '--json', ...key, '--create', bytecode + constructor.slice(2)))
    const token = deployed.contractAddress
    assert.ok(abi.length && token)
    assert.equal(await cast(network, 'call', token, 'symbol()(string)'), '"WAV"')
    await cast(network, 'send', token, 'transfer(address,uint256)', to, '9', ...key)
    assert.equal(await cast(network, 'call', token, 'balanceOf(address)(uint256)', to), '9')
    const logs = JSON.parse(await cast(network, 'logs', '--json', '--address', token, '--from-block', '0', 'Transfer(address indexed,address indexed,uint256)'))
    assert.equal(logs.length, 2)
    assert.match(await cast(network, 'receipt', deployed.transactionHash), /contractAddress/)
    assert.match(await cast(network, 'tx', deployed.transactionHash), /blockNumber/)
    assert.ok(Number(await cast(network, 'estimate', token, 'transfer(address,uint256)', to, '1', '--from', accounts[ROLE.cast].address)) > 21_000)
    assert.equal(await cast(network, 'storage', token, '2'), `0x${(500n).toString(16).padStart(64, '0')}`)
    assert.match(await cast(network, 'proof', token, '2'), /accountProof/)
  },
}
