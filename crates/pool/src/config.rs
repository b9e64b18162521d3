//! Limits and rules of a pool.

/// Which transactions a chain takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolRules {
    /// Layer 2: no blobs.
    Rollup,
    /// The embedded L1: Prague, blobs with their sidecars.
    Ethereum,
}

/// Most pooled transactions of a sender whose code is delegated (EIP-7702), or will be by a pooled transaction: anyone may empty such an account
/// from outside, in one block, after which none of its transactions can be paid for.
pub const MAX_DELEGATED: usize = 1;

/// Rules and limits. The defaults are the constants of this module.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Which types are accepted.
    pub rules: PoolRules,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Gas limit of a block: no transaction may ask for more.
    pub gas_limit: u64,
    /// Least `maxFeePerGas`, wei: the floor of the base fee.
    pub min_fee: u128,
    /// Most transactions in the pool.
    pub max_transactions: usize,
    /// Most encoded bytes in the pool (sidecars are counted by their store).
    pub max_bytes: usize,
    /// Most transactions of one sender.
    pub max_per_sender: usize,
    /// Most encoded bytes of one sender.
    pub max_sender_bytes: usize,
    /// Seconds of block time for which a transaction behind a nonce gap is kept.
    pub queued_lifetime: u64,
}

impl PoolConfig {
    /// Default of [`Self::max_transactions`].
    pub const MAX_TRANSACTIONS: usize = 65_536;
    /// Default of [`Self::max_bytes`]: 128 MiB.
    pub const MAX_BYTES: usize = 128 << 20;
    /// Default of [`Self::max_per_sender`].
    pub const MAX_PER_SENDER: usize = 1_024;
    /// Default of [`Self::max_sender_bytes`]: 8 MiB.
    pub const MAX_SENDER_BYTES: usize = 8 << 20;
    /// Default of [`Self::queued_lifetime`]: three hours.
    pub const QUEUED_LIFETIME: u64 = 3 * 3_600;

    /// Default limits for a chain.
    pub const fn new(rules: PoolRules, chain_id: u64, gas_limit: u64, min_fee: u128) -> Self {
        Self {
            rules,
            chain_id,
            gas_limit,
            min_fee,
            max_transactions: Self::MAX_TRANSACTIONS,
            max_bytes: Self::MAX_BYTES,
            max_per_sender: Self::MAX_PER_SENDER,
            max_sender_bytes: Self::MAX_SENDER_BYTES,
            queued_lifetime: Self::QUEUED_LIFETIME,
        }
    }
}
