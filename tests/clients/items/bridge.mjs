// The gas token across the bridge: in by the Portal, out by viem's op-stack actions.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { getL2TransactionHashes, getWithdrawals } from 'viem/op-stack'
import { artifact } from '../lib/artifacts.mjs'
import { ROLE, mined, until } from '../lib/network.mjs'

const run = promisify(execFile)
const amount = parseEther('12.5')

/** Gas tokens in the Portal's escrow. */
async function escrow({ l1, config }) {
  const token = { address: config.contracts.l1.token, abi: artifact('OceanidToken').abi }
  return l1.readContract({ ...token, functionName: 'balanceOf', args: [config.contracts.l1.portal] })
}

export default {
  'deposit METIS from L1 and find it as native balance on L2': async (network, note) => {
    const { config, l1, l2, l1Wallet, accounts } = network
    const address = accounts[ROLE.bridge].address
    const wallet = l1Wallet(ROLE.bridge)
    const token = { address: config.contracts.l1.token, abi: artifact('OceanidToken').abi }
    const portal = { address: config.contracts.l1.portal, abi: artifact('Portal').abi }
    const [before, held] = await Promise.all([l2.getBalance({ address }), escrow(network)])

    await mined(l1, await wallet.writeContract({ ...token, functionName: 'approve', args: [portal.address, amount] }))
    const args = [address, amount, amount, 100_000n, false, '0x']
    const receipt = await mined(l1, await wallet.writeContract({ ...portal, functionName: 'depositERC20Transaction', args }))
    assert.equal((await escrow(network)) - held, amount)

    const [hash] = getL2TransactionHashes(receipt)
    note(`deposited in L1 block ${receipt.blockNumber}; waiting for L2 transaction ${hash}`)
    await mined(l2, hash)
    assert.equal((await l2.getBalance({ address })) - before, amount)
  },

  'withdraw METIS to L1 with viem/op-stack': async (network, note) => {
    const { config, l1, l2, l1Wallet, l2Wallet, accounts, chains } = network
    const account = accounts[ROLE.bridge]
    const token = { address: config.contracts.l1.token, abi: artifact('OceanidToken').abi }
    const balance = () => l1.readContract({ ...token, functionName: 'balanceOf', args: [account.address] })
    const [before, held] = await Promise.all([balance(), escrow(network)])
    const value = parseEther('2')

    const request = { to: account.address, value, gas: 100_000n }
    const receipt = await mined(l2, await l2Wallet(ROLE.bridge).initiateWithdrawal({ request }))
    const [withdrawal] = getWithdrawals(receipt)
    note(`initiated in L2 block ${receipt.blockNumber}; waiting for an output`)

    const { output } = await l1.waitToProve({ receipt, targetChain: chains.l2 })
    const proof = await l2.buildProveWithdrawal({ account, output, withdrawal })
    await mined(l1, await l1Wallet(ROLE.bridge).proveWithdrawal(proof))
    note(`proven against output ${output.outputIndex}; waiting for the window of ${config.challengeWindow} s`)

    await l1.waitToFinalize({ targetChain: chains.l2, withdrawalHash: withdrawal.withdrawalHash })
    // viem counts the window from the proof, the Rollup from the output; viem never asks too early.
    await until('the withdrawal to be final', async () => {
      const status = await l1.getWithdrawalStatus({ receipt, targetChain: chains.l2 })
      return status === 'ready-to-finalize' || status === 'finalized'
    })
    await mined(l1, await l1Wallet(ROLE.bridge).finalizeWithdrawal({ targetChain: chains.l2, withdrawal }))
    assert.equal((await balance()) - before, value)
    assert.equal(held - (await escrow(network)), value)
    assert.equal(await l1.getWithdrawalStatus({ receipt, targetChain: chains.l2 }), 'finalized')
  },

  'the same with `oceanid bridge`': async (network, note) => {
    if (!process.env.OCEANID) return note('not run: the network was not started here, say which program in OCEANID')
    const { config, keys, l1, l2, accounts } = network
    const to = privateKeyToAccount(generatePrivateKey()).address
    const bridge = (...args) => run(process.env.OCEANID, ['bridge', ...args, '--to', to, '--private-key', keys[ROLE.bridge]])
    const before = await l2.getBalance({ address: accounts[ROLE.bridge].address })

    const { stdout: told } = await bridge('deposit', '3.5')
    assert.equal(await l2.getBalance({ address: to }), parseEther('3.5'), told)

    await bridge('withdraw', '1.25')
    const token = { address: config.contracts.l1.token, abi: artifact('OceanidToken').abi }
    assert.equal(await l1.readContract({ ...token, functionName: 'balanceOf', args: [to] }), parseEther('1.25'))
    const paid = before - (await l2.getBalance({ address: accounts[ROLE.bridge].address }))
    assert.ok(paid > parseEther('1.25') && paid < parseEther('1.26'), `${paid} for 1.25 and a fee`)

    await assert.rejects(bridge('deposit', '1.2.3'), (error) => /amount `1.2.3`: not a number of tokens/.test(error.stderr) || assert.fail(error.stderr))
  },
}
