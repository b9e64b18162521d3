// The network under test, from the file that `oceanid dev --config-out` writes: chains, accounts, and viem clients for each side.
import { readFileSync } from 'node:fs'
import { createPublicClient, createWalletClient, defineChain, http, webSocket } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { chainConfig, publicActionsL1, publicActionsL2, walletActionsL1, walletActionsL2 } from 'viem/op-stack'

export const MULTICALL3 = '0xcA11bde05977b3631167028862bE2a173976CA11'
const token = { name: 'Metis', symbol: 'METIS', decimals: 18 }
const ether = { name: 'Ether', symbol: 'ETH', decimals: 18 }
/** Milliseconds between two looks at a chain. */
const POLLING = 250

/** Accounts are shared out so that no two groups of items ever use one nonce sequence; the receiver sends only for `pages`. */
export const ROLE = { transfers: 0, tokens: 1, bridge: 2, forced: 3, tokenBridge: 4, uniswap: 5, ethers: 6, cast: 7, forge: 8, receiver: 9, pages: 9 }

export async function loadNetwork() {
  const path = process.env.OCEANID_CONFIG
  if (!path) throw new Error('set OCEANID_CONFIG to the file that `oceanid dev --config-out` wrote')
  const config = JSON.parse(readFileSync(path, 'utf8'))

  // On an L1 that has no Multicall3 the clients send its code along with the call.
  const probe = createPublicClient({ transport: http(config.l1.http) })
  const l1HasMulticall = (await probe.getCode({ address: MULTICALL3 })) !== undefined
  const l1 = defineChain({
    id: config.l1.chainId,
    name: 'L1',
    nativeCurrency: ether,
    rpcUrls: { default: { http: [config.l1.http] } },
    contracts: l1HasMulticall ? { multicall3: { address: MULTICALL3 } } : {},
  })
  const l2 = defineChain({
    ...chainConfig,
    id: config.l2.chainId,
    name: 'Oceanid',
    nativeCurrency: token,
    sourceId: l1.id,
    rpcUrls: { default: { http: [config.l2.http], webSocket: [config.l2.ws] } },
    contracts: {
      ...chainConfig.contracts,
      multicall3: { address: MULTICALL3 },
      portal: { [l1.id]: { address: config.contracts.l1.portal } },
      l2OutputOracle: { [l1.id]: { address: config.contracts.l1.rollup } },
    },
  })
  const accounts = config.accounts.map(({ privateKey }) => privateKeyToAccount(privateKey))
  const options = { pollingInterval: POLLING, cacheTime: 0 }
  const l1Batch = l1HasMulticall ? undefined : { multicall: { deployless: true } }

  return {
    config,
    chains: { l1, l2 },
    accounts,
    keys: config.accounts.map(({ privateKey }) => privateKey),
    l1: createPublicClient({ chain: l1, transport: http(), batch: l1Batch, ...options }).extend(publicActionsL1()),
    l2: createPublicClient({ chain: l2, transport: http(), ...options }).extend(publicActionsL2()),
    follower: config.follower && createPublicClient({ chain: l2, transport: http(config.follower.http), ...options }),
    socket: () => createPublicClient({ chain: l2, transport: webSocket(config.l2.ws), ...options }),
    l1Wallet: (role) =>
      createWalletClient({ account: accounts[role], chain: l1, transport: http(), ...options }).extend(walletActionsL1()),
    l2Wallet: (role) =>
      createWalletClient({ account: accounts[role], chain: l2, transport: http(), ...options }).extend(walletActionsL2()),
  }
}

/** Waits for a receipt and insists on success. */
export async function mined(client, hash) {
  const receipt = await client.waitForTransactionReceipt({ hash, timeout: 60_000 })
  if (receipt.status !== 'success') throw new Error(`transaction ${hash} failed`)
  return receipt
}

/** Asks until `ready` returns something other than undefined or false. */
export async function until(what, ready, timeout = 60_000) {
  const deadline = Date.now() + timeout
  for (;;) {
    const value = await ready()
    if (value !== undefined && value !== false) return value
    if (Date.now() > deadline) throw new Error(`waited ${timeout / 1000} s for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, POLLING))
  }
}
