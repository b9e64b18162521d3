// Accounts of their own for clients that run as programs, so that nobody else uses their nonces.
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { ROLE } from './network.mjs'

/** A new account with 20 coins on Layer 2, from the account of `cast`, whose items run before. */
export async function freshAccount(network) {
  const key = generatePrivateKey()
  const { address } = privateKeyToAccount(key)
  const hash = await network.l2Wallet(ROLE.cast).sendTransaction({ to: address, value: parseEther('20') })
  const receipt = await network.l2.waitForTransactionReceipt({ hash })
  if (receipt.status !== 'success') throw new Error(`${address} got no coins`)
  return { key, address }
}
