// ETH and an ERC-20 to L2 and back through the token bridge.
import assert from 'node:assert/strict'
import { erc20Abi, parseEther, zeroAddress } from 'viem'
import { getWithdrawals } from 'viem/op-stack'
import { artifact, testToken } from '../lib/artifacts.mjs'
import { ROLE, mined, until } from '../lib/network.mjs'

const bridges = ({ config }) => ({
  l1Bridge: { address: config.contracts.l1.bridge, abi: artifact('L1Bridge').abi },
  l2Bridge: { address: config.contracts.l2.bridge, abi: artifact('L2Bridge').abi },
})

/** Waits until the L2 token of `l1Token` exists and gives `address` more than `before`. */
async function arrived(network, l1Token, address, amount) {
  const { l2 } = network
  const { l2Bridge } = bridges(network)
  const token = await until('the L2 token', async () => {
    const found = await l2.readContract({ ...l2Bridge, functionName: 'l2TokenOf', args: [l1Token] })
    return found !== zeroAddress && found
  })
  const read = () => l2.readContract({ address: token, abi: erc20Abi, functionName: 'balanceOf', args: [address] })
  await until('the bridged balance', async () => (await read()) >= amount)
  return token
}

/** Burns on L2, then proves and finalises on L1. */
async function withdraw(network, l2Token, amount, note) {
  const { l1, l2, l1Wallet, l2Wallet, accounts, chains } = network
  const account = accounts[ROLE.tokenBridge]
  const { l2Bridge } = bridges(network)
  const args = [l2Token, account.address, amount]
  const receipt = await mined(l2, await l2Wallet(ROLE.tokenBridge).writeContract({ ...l2Bridge, functionName: 'withdraw', args }))
  const [withdrawal] = getWithdrawals(receipt)
  const { output } = await l1.waitToProve({ receipt, targetChain: chains.l2 })
  await mined(l1, await l1Wallet(ROLE.tokenBridge).proveWithdrawal(await l2.buildProveWithdrawal({ account, output, withdrawal })))
  note(`proven against output ${output.outputIndex}`)
  await l1.waitToFinalize({ targetChain: chains.l2, withdrawalHash: withdrawal.withdrawalHash })
  await mined(l1, await l1Wallet(ROLE.tokenBridge).finalizeWithdrawal({ targetChain: chains.l2, withdrawal }))
}

export default {
  'ETH round trip': async (network, note) => {
    const { l1, l1Wallet, accounts } = network
    const address = accounts[ROLE.tokenBridge].address
    const { l1Bridge } = bridges(network)
    const amount = parseEther('0.75')
    await mined(l1, await l1Wallet(ROLE.tokenBridge).writeContract({ ...l1Bridge, functionName: 'depositETH', args: [address], value: amount }))
    const token = await arrived(network, zeroAddress, address, amount)
    note(`ETH on L2 is ${token}`)
    const escrowed = () => l1.readContract({ ...l1Bridge, functionName: 'escrowed', args: [zeroAddress] })
    const before = await escrowed()
    await withdraw(network, token, amount, note)
    assert.equal(before - (await escrowed()), amount)
    assert.equal(await l1.readContract({ ...l1Bridge, functionName: 'claimable', args: [zeroAddress, address] }), 0n)
  },

  'ERC-20 round trip keeps name, symbol and supply': async (network, note) => {
    const { l1, l2, l1Wallet, accounts } = network
    const address = accounts[ROLE.tokenBridge].address
    const wallet = l1Wallet(ROLE.tokenBridge)
    const { l1Bridge } = bridges(network)
    const { abi, bytecode } = testToken()
    const deployed = await mined(l1, await wallet.deployContract({ abi, bytecode, args: ['Coral', 'CRL', 1_000n] }))
    const coral = { address: deployed.contractAddress, abi }
    await mined(l1, await wallet.writeContract({ ...coral, functionName: 'approve', args: [l1Bridge.address, 400n] }))
    await mined(l1, await wallet.writeContract({ ...l1Bridge, functionName: 'depositERC20', args: [coral.address, address, 400n] }))
    const token = await arrived(network, coral.address, address, 400n)
    assert.equal(await l2.readContract({ address: token, abi: erc20Abi, functionName: 'symbol' }), 'CRL')
    assert.equal(await l2.readContract({ address: token, abi: erc20Abi, functionName: 'totalSupply' }), 400n)
    await withdraw(network, token, 150n, note)
    assert.equal(await l1.readContract({ ...coral, functionName: 'balanceOf', args: [address] }), 750n)
    assert.equal(await l2.readContract({ address: token, abi: erc20Abi, functionName: 'totalSupply' }), 250n)
  },
}
