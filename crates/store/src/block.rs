//! A block with everything its execution made: what the store takes, logs, keeps in memory until flushed, and reads through.

use crate::{StoreError, keys::StateKey};
use alloy_primitives::{Address, B256, Bytes, U256, map::HashMap};
use alloy_rlp::{Decodable, Encodable};
use oceanid_primitives::{Receipt, SealedBlock};
use oceanid_stf::{AccountState, StateDiff, StorageDiff};
use oceanid_trie::{Nibbles, StoredNode, TrieUpdates};
use std::{collections::BTreeSet, sync::Arc};

/// A block with its receipts and senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBlock {
    /// The block.
    pub block: Arc<SealedBlock>,
    /// One receipt per transaction.
    pub receipts: Vec<Receipt>,
    /// One sender per transaction.
    pub senders: Vec<Address>,
}

/// An executed block: the block, its receipts, and the state it makes as a layer over its parent's.
#[derive(Debug)]
pub struct ExecutedBlock {
    content: Arc<CommittedBlock>,
    diff: StateDiff,
    nodes: HashMap<(Option<B256>, Nibbles), Option<StoredNode>>,
    wiped: BTreeSet<B256>,
    transactions: HashMap<B256, u32>,
    bytes: usize,
}

impl ExecutedBlock {
    /// Puts together what executing `block` gave.
    pub fn new(
        block: Arc<SealedBlock>,
        receipts: Vec<Receipt>,
        senders: Vec<Address>,
        diff: StateDiff,
        trie: TrieUpdates,
    ) -> Self {
        Self::from_content(Arc::new(CommittedBlock { block, receipts, senders }), diff, trie)
    }

    fn from_content(content: Arc<CommittedBlock>, diff: StateDiff, trie: TrieUpdates) -> Self {
        // What an entry costs beside its own bytes: hash table slots, allocation headers.
        const ENTRY: usize = 96;
        let transactions =
            content.block.body().iter().enumerate().map(|(index, tx)| (*tx.hash(), index as u32)).collect::<HashMap<_, _>>();
        let slots: usize = diff.storage.values().map(|storage| storage.slots.len()).sum();
        let node_bytes: usize = trie.nodes.iter().filter_map(|update| update.node.as_ref()).map(|node| node.rlp.len()).sum();
        let log_bytes: usize =
            content.receipts.iter().flat_map(|receipt| &receipt.logs).map(|log| ENTRY + log.data.data.len()).sum();
        let bytes = content.block.length()
            + log_bytes
            + node_bytes
            + diff.codes.values().map(|code| code.len()).sum::<usize>()
            + ENTRY * (transactions.len() * 2 + diff.accounts.len() + slots + trie.nodes.len());
        let nodes = trie.nodes.into_iter().map(|update| ((update.owner, update.path), update.node)).collect();
        Self { content, diff, nodes, wiped: trie.wiped, transactions, bytes }
    }

    /// The block, receipts and senders.
    pub const fn content(&self) -> &Arc<CommittedBlock> {
        &self.content
    }

    /// The block.
    pub fn block(&self) -> &Arc<SealedBlock> {
        &self.content.block
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.content.block.number()
    }

    /// Its hash.
    pub fn hash(&self) -> B256 {
        self.content.block.hash()
    }

    /// State changes.
    pub const fn diff(&self) -> &StateDiff {
        &self.diff
    }

    /// Estimate of the memory this takes, bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn position_of(&self, transaction: &B256) -> Option<u32> {
        self.transactions.get(transaction).copied()
    }

    /// What this block says of a place in the tries: nothing, no node, or a node.
    pub(crate) fn node(&self, owner: Option<B256>, path: &Nibbles) -> Option<Option<Bytes>> {
        match self.nodes.get(&(owner, *path)) {
            Some(node) => Some(node.as_ref().map(|node| node.rlp.clone())),
            None => owner.is_some_and(|owner| self.wiped.contains(&owner)).then_some(None),
        }
    }

    /// The node of that hash, wherever it stands in a storage trie of `owner`.
    pub(crate) fn node_of_hash(&self, owner: B256, path: &Nibbles, hash: B256) -> Option<Bytes> {
        let node = self.nodes.get(&(Some(owner), *path))?.as_ref()?;
        (node.hash == hash).then(|| node.rlp.clone())
    }

    pub(crate) const fn wiped(&self) -> &BTreeSet<B256> {
        &self.wiped
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (Option<B256>, &Nibbles, Option<&StoredNode>)> {
        self.nodes.iter().map(|((owner, path), node)| (*owner, path, node.as_ref()))
    }

    /// Accounts that lose all earlier storage in this block, before its own slots are written.
    pub(crate) fn wiped_accounts(&self) -> impl Iterator<Item = Address> + '_ {
        let destroyed = self.diff.accounts.iter().filter(|(_, account)| account.is_none()).map(|(address, _)| *address);
        let wiped = self.diff.storage.iter().filter(|(_, storage)| storage.wiped).map(|(address, _)| *address);
        destroyed.chain(wiped)
    }

    /// Every value written, in the engine's encoding; the empty string is absence.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (StateKey, Vec<u8>)> + '_ {
        let accounts = self
            .diff
            .accounts
            .iter()
            .map(|(address, account)| (StateKey::Account(*address), crate::keys::encode_account(account.as_ref())));
        let slots = self.diff.storage.iter().flat_map(|(address, storage)| {
            storage.slots.iter().map(|(slot, value)| (StateKey::Storage(*address, *slot), crate::keys::encode_slot(*value)))
        });
        accounts.chain(slots)
    }
}

/// A log record, decoded: a block without its trie nodes, which follow from the diff.
#[derive(Debug)]
pub(crate) struct LoggedBlock {
    pub(crate) content: Arc<CommittedBlock>,
    pub(crate) diff: StateDiff,
    pub(crate) certificate: Option<Bytes>,
}

impl LoggedBlock {
    pub(crate) fn into_executed(self, trie: TrieUpdates) -> (ExecutedBlock, Option<Bytes>) {
        (ExecutedBlock::from_content(self.content, self.diff, trie), self.certificate)
    }
}

/// Writes a log record: `rlp(block) rlp(receipts) rlp(senders) rlp(certificate or "") diff`, where the diff is
/// `rlp([[address, [] or [nonce, balance, code hash]]…]) rlp([[address, wiped, [[slot, value]…]]…]) rlp([code…])`.
/// Trie nodes are left out: they are most of the bytes, and replay recomputes them and so checks the state root.
pub(crate) fn encode_record(executed: &ExecutedBlock, certificate: Option<&Bytes>) -> Vec<u8> {
    let CommittedBlock { block, receipts, senders } = &**executed.content();
    let diff = executed.diff();
    let mut out = Vec::with_capacity(block.length() + 200 * receipts.len() + 128 * diff.accounts.len() + 1024);
    block.encode(&mut out);
    receipts.encode(&mut out);
    senders.encode(&mut out);
    certificate.cloned().unwrap_or_default().encode(&mut out);
    let accounts: Vec<LoggedAccount> = diff
        .accounts
        .iter()
        .map(|(address, account)| LoggedAccount {
            address: *address,
            state: account
                .iter()
                .map(|account| LoggedState { nonce: account.nonce, balance: account.balance, code_hash: account.code_hash })
                .collect(),
        })
        .collect();
    accounts.encode(&mut out);
    let storage: Vec<LoggedStorage> = diff
        .storage
        .iter()
        .map(|(address, storage)| LoggedStorage {
            address: *address,
            wiped: storage.wiped,
            slots: storage.slots.iter().map(|(slot, value)| LoggedSlot { slot: *slot, value: *value }).collect(),
        })
        .collect();
    storage.encode(&mut out);
    diff.codes.values().cloned().collect::<Vec<Bytes>>().encode(&mut out);
    out
}

/// Reads what [`encode_record`] wrote.
pub(crate) fn decode_record(mut bytes: &[u8]) -> Result<LoggedBlock, StoreError> {
    decode_parts(&mut bytes).map_err(|error| StoreError::damaged("log record", error)).and_then(|block| {
        if bytes.is_empty() {
            Ok(block)
        } else {
            Err(StoreError::damaged("log record", format!("{} bytes after its end", bytes.len())))
        }
    })
}

fn decode_parts(bytes: &mut &[u8]) -> alloy_rlp::Result<LoggedBlock> {
    let block = Arc::new(SealedBlock::decode(bytes)?);
    let receipts = Vec::decode(bytes)?;
    let senders = Vec::decode(bytes)?;
    let certificate = Some(Bytes::decode(bytes)?).filter(|certificate| !certificate.is_empty());
    let mut diff = StateDiff::default();
    for LoggedAccount { address, state } in Vec::<LoggedAccount>::decode(bytes)? {
        let state =
            state.first().map(|state| AccountState { nonce: state.nonce, balance: state.balance, code_hash: state.code_hash });
        diff.accounts.insert(address, state);
    }
    for LoggedStorage { address, wiped, slots } in Vec::<LoggedStorage>::decode(bytes)? {
        let slots = slots.into_iter().map(|LoggedSlot { slot, value }| (slot, value)).collect();
        diff.storage.insert(address, StorageDiff { wiped, slots });
    }
    for code in Vec::<Bytes>::decode(bytes)? {
        diff.codes.insert(alloy_primitives::keccak256(&code), code);
    }
    Ok(LoggedBlock { content: Arc::new(CommittedBlock { block, receipts, senders }), diff, certificate })
}

#[derive(alloy_rlp::RlpEncodable, alloy_rlp::RlpDecodable)]
struct LoggedAccount {
    address: Address,
    /// None or one.
    state: Vec<LoggedState>,
}

#[derive(alloy_rlp::RlpEncodable, alloy_rlp::RlpDecodable)]
struct LoggedState {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

#[derive(alloy_rlp::RlpEncodable, alloy_rlp::RlpDecodable)]
struct LoggedStorage {
    address: Address,
    wiped: bool,
    slots: Vec<LoggedSlot>,
}

#[derive(alloy_rlp::RlpEncodable, alloy_rlp::RlpDecodable)]
struct LoggedSlot {
    slot: U256,
    value: U256,
}
