// Forced inclusion: a transaction that only L1 was told of.
import assert from 'node:assert/strict'
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { getL2TransactionHashes } from 'viem/op-stack'
import { artifact } from '../lib/artifacts.mjs'
import { ROLE, mined } from '../lib/network.mjs'

export default {
  'an L2 transfer sent through the Portal': async ({ config, l1, l2, l1Wallet, accounts }) => {
    const from = accounts[ROLE.forced].address
    const to = privateKeyToAccount(generatePrivateKey()).address
    const value = parseEther('3')
    const before = await l2.getBalance({ address: from })
    const portal = { address: config.contracts.l1.portal, abi: artifact('Portal').abi }
    const receipt = await mined(
      l1,
      await l1Wallet(ROLE.forced).writeContract({ ...portal, functionName: 'depositTransaction', args: [to, value, 50_000n, false, '0x'] }),
    )
    const [hash] = getL2TransactionHashes(receipt)
    await mined(l2, hash)
    assert.equal(await l2.getBalance({ address: to }), value)
    assert.equal(before - (await l2.getBalance({ address: from })), value, 'a deposit pays no fee on L2')
    const transaction = await l2.getTransaction({ hash })
    assert.equal(transaction.type, 'deposit')
  },

  'a forced transaction that fails still counts, and mints nothing': async ({ config, l1, l2, l1Wallet }) => {
    const portal = { address: config.contracts.l1.portal, abi: artifact('Portal').abi }
    const value = parseEther('1000000000')
    const receipt = await mined(
      l1,
      await l1Wallet(ROLE.forced).writeContract({ ...portal, functionName: 'depositTransaction', args: [portal.address, value, 50_000n, false, '0x'] }),
    )
    const [hash] = getL2TransactionHashes(receipt)
    const failed = await l2.waitForTransactionReceipt({ hash, timeout: 60_000 })
    assert.equal(failed.status, 'reverted')
  },
}
