// Deploying and using an ERC-20 with viem.
import assert from 'node:assert/strict'
import { parseAbiItem, parseEther } from 'viem'
import { testToken } from '../lib/artifacts.mjs'
import { ROLE, mined } from '../lib/network.mjs'

export default {
  'deploy, transfer, read, logs': async ({ l2, l2Wallet, accounts }) => {
    const { abi, bytecode } = testToken()
    const wallet = l2Wallet(ROLE.tokens)
    const deployed = await mined(l2, await wallet.deployContract({ abi, bytecode, args: ['Pearl', 'PRL', parseEther('1000')] }))
    const token = { address: deployed.contractAddress, abi }
    const to = accounts[ROLE.receiver].address

    const { request } = await l2.simulateContract({ ...token, account: accounts[ROLE.tokens], functionName: 'transfer', args: [to, 7n] })
    const receipt = await mined(l2, await wallet.writeContract(request))
    assert.equal(await l2.readContract({ ...token, functionName: 'balanceOf', args: [to] }), 7n)

    const event = parseAbiItem('event Transfer(address indexed from, address indexed to, uint256 value)')
    const logs = await l2.getLogs({ address: token.address, event, fromBlock: deployed.blockNumber, toBlock: receipt.blockNumber })
    assert.deepEqual(logs.map(({ args }) => args.value), [parseEther('1000'), 7n])
    const filtered = await l2.getLogs({ event, args: { to }, fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber })
    assert.ok(filtered.some(({ transactionHash }) => transactionHash === receipt.transactionHash))
  },

  'custom errors come back decoded': async ({ l2, l2Wallet, accounts }) => {
    const { abi, bytecode } = testToken()
    const deployed = await mined(l2, await l2Wallet(ROLE.tokens).deployContract({ abi, bytecode, args: ['Sand', 'SND', 5n] }))
    const call = l2.simulateContract({
      address: deployed.contractAddress,
      abi,
      account: accounts[ROLE.tokens],
      functionName: 'transfer',
      args: [accounts[ROLE.receiver].address, 6n],
    })
    await assert.rejects(call, (error) => /InsufficientBalance/.test(error.message) || assert.fail(error.message))
  },

  'past state stays readable': async ({ l2, l2Wallet, accounts }) => {
    const { abi, bytecode } = testToken()
    const wallet = l2Wallet(ROLE.tokens)
    const deployed = await mined(l2, await wallet.deployContract({ abi, bytecode, args: ['Reef', 'REF', 100n] }))
    const token = { address: deployed.contractAddress, abi }
    const owner = accounts[ROLE.tokens].address
    await mined(l2, await wallet.writeContract({ ...token, functionName: 'transfer', args: [accounts[ROLE.receiver].address, 40n] }))
    const read = (blockNumber) => l2.readContract({ ...token, functionName: 'balanceOf', args: [owner], blockNumber })
    assert.equal(await read(deployed.blockNumber), 100n)
    assert.equal(await read(undefined), 60n)
  },
}
