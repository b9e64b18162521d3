// Sending: transfers, refusals, EIP-7702.
import assert from 'node:assert/strict'
import { parseEther, parseGwei, zeroAddress } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { MULTICALL3, ROLE, mined } from '../lib/network.mjs'

export default {
  'transfer changes both balances by the receipt': async ({ l2, l2Wallet, accounts }) => {
    const from = accounts[ROLE.transfers].address
    const to = privateKeyToAccount(generatePrivateKey()).address
    const before = await l2.getBalance({ address: from })
    const value = parseEther('1.25')
    const receipt = await mined(l2, await l2Wallet(ROLE.transfers).sendTransaction({ to, value }))
    assert.equal(receipt.gasUsed, 21_000n)
    assert.equal(await l2.getBalance({ address: to }), value)
    const l1Fee = BigInt(receipt.l1Fee ?? 0n)
    const spent = before - (await l2.getBalance({ address: from }))
    assert.equal(spent, value + receipt.gasUsed * receipt.effectiveGasPrice + l1Fee)
    const transaction = await l2.getTransaction({ hash: receipt.transactionHash })
    assert.equal(transaction.blockNumber, receipt.blockNumber)
  },

  'legacy and access list transactions': async ({ l2, l2Wallet, accounts }) => {
    const wallet = l2Wallet(ROLE.transfers)
    const to = accounts[ROLE.receiver].address
    const gasPrice = (await l2.getGasPrice()) * 2n
    const legacy = await mined(l2, await wallet.sendTransaction({ to, value: 1n, type: 'legacy', gasPrice }))
    assert.equal(legacy.type, 'legacy')
    const accessList = [{ address: to, storageKeys: [] }]
    const listed = await mined(l2, await wallet.sendTransaction({ to, value: 1n, type: 'eip2930', gasPrice, accessList }))
    assert.equal(listed.type, 'eip2930')
  },

  'many transactions in a row keep their order': async ({ l2, l2Wallet, accounts }) => {
    const wallet = l2Wallet(ROLE.transfers)
    const address = accounts[ROLE.transfers].address
    const first = await l2.getTransactionCount({ address })
    const hashes = []
    for (let index = 0; index < 20; index += 1) {
      hashes.push(await wallet.sendTransaction({ to: accounts[ROLE.receiver].address, value: 1n, nonce: first + index, gas: 21_000n }))
    }
    const receipts = await Promise.all(hashes.map((hash) => mined(l2, hash)))
    const places = receipts.map(({ blockNumber, transactionIndex }) => Number(blockNumber) * 1e6 + transactionIndex)
    assert.deepEqual(places, [...places].sort((a, b) => a - b))
    assert.equal(await l2.getTransactionCount({ address }), first + 20)
  },

  'an account delegates its code (EIP-7702)': async ({ l2, l2Wallet, accounts, chains }) => {
    const authority = privateKeyToAccount(generatePrivateKey())
    const signed = await authority.signAuthorization({ contractAddress: MULTICALL3, chainId: chains.l2.id, nonce: 0 })
    const wallet = l2Wallet(ROLE.transfers)
    await mined(l2, await wallet.sendTransaction({ to: accounts[ROLE.receiver].address, authorizationList: [signed], gas: 200_000n }))
    const code = await l2.getCode({ address: authority.address })
    assert.equal(code.toLowerCase(), `0xef0100${MULTICALL3.slice(2).toLowerCase()}`)
  },

  'refusals say why': async ({ l2, chains, keys }) => {
    const account = privateKeyToAccount(keys[ROLE.transfers])
    const nonce = await l2.getTransactionCount({ address: account.address })
    const base = { chainId: chains.l2.id, to: zeroAddress, value: 0n, gas: 21_000n, maxFeePerGas: parseGwei('10'), maxPriorityFeePerGas: 0n, nonce, type: 'eip1559' }
    const refused = async (change, pattern) => {
      const serializedTransaction = await account.signTransaction({ ...base, ...change })
      await assert.rejects(l2.sendRawTransaction({ serializedTransaction }), (error) => pattern.test(error.message) || assert.fail(error.message))
    }
    await refused({ nonce: 0 }, /nonce/i)
    await refused({ value: parseEther('1000000000') }, /insufficient funds|balance/i)
    await refused({ chainId: chains.l2.id + 1 }, /chain/i)
    await refused({ gas: 1_000n }, /gas/i)
    const blobVersionedHashes = [`0x01${'00'.repeat(31)}`]
    const { type: _, ...untyped } = base
    const blob = await account.signTransaction({ ...untyped, type: 'eip4844', blobVersionedHashes, maxFeePerBlobGas: 1n, sidecars: false })
    await assert.rejects(l2.sendRawTransaction({ serializedTransaction: blob }), (error) => /blob/i.test(error.message) || assert.fail(error.message))
  },
}
