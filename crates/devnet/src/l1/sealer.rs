//! Decides when a block is made and what its timestamp is; the ledger makes it.

use super::GENESIS_AGE;
use super::blobs::{BlobError, BlobStore};
use alloy_consensus::{SignableTransaction, Transaction, TxEip1559};
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use oceanid_chain::{EthLedger, LedgerError, MineRequest, TransactionSource};
use oceanid_pool::{Origin, Pool};
use oceanid_primitives::TxEnvelope;
use oceanid_rpc::{AccountEdit, DevHooks};
use oceanid_stf::StateDiff;
use parking_lot::Mutex;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of transactions in one block.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Blocks that one `anvil_mine` may ask for.
const MAX_MINED_AT_ONCE: u64 = 10_000;

/// Receiver of tips.
const COINBASE: Address = Address::ZERO;

/// Why a block could not be made. The chain stops: the causes are the disk and our own faults, never a transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// Execution or store.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Blob files.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// The one sealer.
pub(crate) struct Sealer {
    ledger: EthLedger,
    pool: Arc<Pool>,
    blobs: Arc<BlobStore>,
    clock: Mutex<Clock>,
    /// Timestamps up to this one are a new chain's age: a block needs no transactions to use them up.
    young_until: u64,
    /// Accounts whose transactions are taken unsigned.
    impersonated: Mutex<BTreeSet<Address>>,
}

/// The chain's clock; holding its lock also makes sealing one at a time.
#[derive(Default)]
struct Clock {
    /// Seconds by which it is ahead of the machine's.
    offset: u64,
    /// Timestamp asked for the next block.
    next: Option<u64>,
}

impl Clock {
    /// Seconds since 1970.
    fn now(&self) -> u64 {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        machine + self.offset
    }
}

impl Sealer {
    /// A sealer on the ledger's head.
    pub(crate) fn new(ledger: EthLedger, pool: Arc<Pool>, blobs: Arc<BlobStore>, genesis_time: u64) -> Self {
        let young_until = genesis_time.saturating_add(GENESIS_AGE);
        Self { ledger, pool, blobs, clock: Mutex::default(), young_until, impersonated: Mutex::default() }
    }

    /// Seals a block of the pending transactions if the clock is past the parent's timestamp. The block's own is the parent's plus one
    /// second, so that a chain which is behind the clock catches up a second a block. Without transactions it does so only while a new
    /// chain has its [`GENESIS_AGE`] to use up and nobody has moved its clock: who waits for a block in a deployment then waits for no
    /// second to pass.
    pub(crate) fn seal_pending(&self) -> Result<bool, SealError> {
        let mut clock = self.clock.lock();
        let timestamp = self.parent_timestamp() + 1;
        if timestamp > clock.now() || !(self.has_work() || self.is_young(&clock, timestamp)) {
            return Ok(false);
        }
        self.seal(&mut clock, timestamp)?;
        Ok(true)
    }

    /// Seals a block now, empty or not, if the clock is past the parent's timestamp.
    pub(crate) fn seal_interval(&self) -> Result<bool, SealError> {
        let mut clock = self.clock.lock();
        let now = clock.now();
        if now <= self.parent_timestamp() {
            return Ok(false);
        }
        self.seal(&mut clock, now)?;
        Ok(true)
    }

    /// True if [`Self::seal_pending`] would make a block, or will when the clock is past the parent's timestamp.
    pub(crate) fn is_pending(&self) -> bool {
        self.has_work() || self.is_young(&self.clock.lock(), self.parent_timestamp() + 1)
    }

    fn is_young(&self, clock: &Clock, timestamp: u64) -> bool {
        timestamp <= self.young_until && clock.offset == 0 && clock.next.is_none()
    }

    /// True if a transaction is pending that pays the base fee.
    fn has_work(&self) -> bool {
        !self.pool.best().is_empty()
    }

    fn parent_timestamp(&self) -> u64 {
        self.ledger.head().header().timestamp
    }

    /// Seals one block of what is pending with that timestamp, or the one asked for by `evm_setNextBlockTimestamp`.
    fn seal(&self, clock: &mut Clock, timestamp: u64) -> Result<(), SealError> {
        let timestamp = clock.next.take().unwrap_or(timestamp);
        self.seal_from(clock, timestamp, StateDiff::default(), &mut self.pool.best())
    }

    fn seal_from(
        &self,
        clock: &mut Clock,
        timestamp: u64,
        irregular: StateDiff,
        source: &mut dyn TransactionSource,
    ) -> Result<(), SealError> {
        let parent = self.ledger.head().hash();
        // There is no beacon chain: the parent stands for the beacon root, and its hash gives the randomness.
        let request = MineRequest {
            timestamp,
            beneficiary: COINBASE,
            prevrandao: keccak256(parent),
            parent_beacon_block_root: parent,
            max_bytes: MAX_BODY_BYTES,
            irregular,
        };
        let mined = self.ledger.mine(request, source)?;
        self.pool.on_committed(&mined);
        clock.offset += timestamp.saturating_sub(clock.now());
        let blobs: Vec<_> = mined
            .block
            .body()
            .iter()
            .filter_map(|tx: &TxEnvelope| Some((*tx.hash(), tx.blob_versioned_hashes()?.len())))
            .collect();
        self.blobs.seal(&blobs)?;
        tracing::debug!(number = mined.block.number(), transactions = mined.senders.len(), timestamp, "L1 block");
        Ok(())
    }

    /// Seals a block that holds nothing but a change outside all rules.
    fn seal_irregular(&self, clock: &mut Clock, irregular: StateDiff) -> Result<(), String> {
        let timestamp = self.next_timestamp(clock);
        self.seal_from(clock, timestamp, irregular, &mut VecDeque::new()).map_err(|error| error.to_string())
    }

    /// The clock's time, or a second after the parent where that is later.
    fn next_timestamp(&self, clock: &Clock) -> u64 {
        clock.now().max(self.parent_timestamp() + 1)
    }
}

impl DevHooks for Sealer {
    fn mine(&self, blocks: u64) -> Result<(), String> {
        if blocks > MAX_MINED_AT_ONCE {
            return Err(format!("{blocks} blocks asked for, at most {MAX_MINED_AT_ONCE} at once"));
        }
        let mut clock = self.clock.lock();
        for _ in 0..blocks {
            let timestamp = self.next_timestamp(&clock);
            self.seal(&mut clock, timestamp).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn increase_time(&self, seconds: u64) -> Result<u64, String> {
        let mut clock = self.clock.lock();
        let offset = clock.offset.checked_add(seconds).filter(|offset| *offset < MAX_OFFSET);
        clock.offset = offset.ok_or_else(|| format!("{seconds} seconds move the clock by more than {MAX_OFFSET}"))?;
        Ok(clock.offset)
    }

    fn set_next_block_timestamp(&self, timestamp: u64) -> Result<(), String> {
        let mut clock = self.clock.lock();
        let (parent, latest) = (self.parent_timestamp(), clock.now().saturating_add(MAX_OFFSET));
        if timestamp <= parent || timestamp > latest {
            return Err(format!("timestamp {timestamp} is not after the head's, {parent}, and at most {latest}"));
        }
        clock.next = Some(timestamp);
        Ok(())
    }

    /// Seals a block of its own for the change, so that it is there when the call returns.
    fn edit_account(&self, address: Address, edit: AccountEdit) -> Result<(), String> {
        let mut clock = self.clock.lock();
        let diff = edit.diff(&self.ledger.view(), address).map_err(|error| error.to_string())?;
        self.seal_irregular(&mut clock, diff)
    }

    fn snapshot(&self) -> Result<u64, String> {
        let _sealing = self.clock.lock();
        Ok(self.ledger.snapshot())
    }

    fn revert(&self, id: u64) -> Result<bool, String> {
        let mut clock = self.clock.lock();
        match self.ledger.way_back(id).map_err(|error| error.to_string())? {
            Some(diff) => self.seal_irregular(&mut clock, diff).map(|()| true),
            None => Ok(false),
        }
    }

    fn impersonate(&self, address: Address, on: bool) {
        let mut impersonated = self.impersonated.lock();
        if on {
            impersonated.insert(address);
        } else {
            impersonated.remove(&address);
        }
    }

    fn send_as(&self, from: Address, transaction: TxEip1559) -> Result<B256, String> {
        if !self.impersonated.lock().contains(&from) {
            return Err(format!("no key of {from} here: impersonate it first, or sign and use eth_sendRawTransaction"));
        }
        // The sender stands in place of a signature, so that equal transactions of two accounts have two hashes.
        let unsigned = Signature::new(U256::from_be_slice(from.as_slice()), U256::ONE, false);
        let envelope = TxEnvelope::Eip1559(transaction.into_signed(unsigned));
        self.ledger.senders().remember(*envelope.hash(), from);
        self.pool.add(envelope, Origin::Local).map_err(|error| error.to_string())
    }
}

/// Farthest the clock may be moved, seconds: a thousand years.
const MAX_OFFSET: u64 = 1_000 * 365 * 86_400;
