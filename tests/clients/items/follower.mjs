// The follower, which knows nothing but L1, agrees with the sequencers.
import assert from 'node:assert/strict'
import { until } from '../lib/network.mjs'

export default {
  'same blocks and states as the sequencer, from L1 alone': async ({ l2, follower }, note) => {
    assert.ok(follower, 'the configuration names a follower')
    const target = (await l2.getBlock({ blockTag: 'safe' })).number
    await until(`block ${target} on the follower`, async () => (await follower.getBlockNumber()) >= target)
    for (const blockNumber of [0n, target / 2n, target]) {
      const [ours, theirs] = await Promise.all([l2, follower].map((client) => client.getBlock({ blockNumber })))
      assert.equal(theirs.hash, ours.hash, `block ${blockNumber}`)
      assert.equal(theirs.stateRoot, ours.stateRoot)
    }
    note(`compared up to block ${target}`)
  },
}
