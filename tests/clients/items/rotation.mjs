// Committees change by L1's word: anyone rotates, Layer 2 learns of it by deposit, an epoch later the new committee certifies.
import assert from 'node:assert/strict'
import { fromRlp, hexToNumber, parseAbi } from 'viem'
import { ROLE, mined, until } from '../lib/network.mjs'

const poolAbi = parseAbi(['function rotate() returns (uint64)', 'function latestCommittee() view returns (uint64)'])

/** `[version, epoch, view, parentView, leader, committeeId, nextCommitteeId, originNumber, originHash]` of a header. */
const committeeOf = ({ extraData }) => hexToNumber(fromRlp(extraData)[5])

export default {
  'a rotated committee takes over, on L1 too': async ({ config, l1, l1Wallet, l2, follower }, note) => {
    const pool = { address: config.contracts.l1.sequencerPool, abi: poolAbi }
    const wallet = l1Wallet(ROLE.tokens)
    // The pool allows one rotation per interval; the deployment made the first.
    await until('the pool to allow a rotation', async () => l1.simulateContract({ ...pool, functionName: 'rotate', account: wallet.account }).then(() => true, () => false))
    const latest = async () => Number(await l1.readContract({ ...pool, functionName: 'latestCommittee' }))
    const committee = (await latest()) + 1
    await mined(l1, await wallet.writeContract({ ...pool, functionName: 'rotate' }))
    await until('a node to seal the choice', async () => (await latest()) >= committee)
    assert.ok(committee >= 2)
    const wait = (client, blockTag) =>
      until(`committee ${committee} in the ${blockTag} block`, async () => committeeOf(await client.getBlock({ blockTag })) >= committee, 120_000)
    await wait(l2, 'latest')
    await wait(l2, 'safe')
    await wait(follower, 'latest')
    note(`committee ${committee} certifies, L1 accepts it, the follower derives it`)
    const answer = await l2.request({ method: 'seq_committee', params: ['latest'] })
    assert.equal(answer.members?.length ?? answer.committee.members.length, config.nodes.filter(({ role }) => role === 'sequencer').length)
  },
}
