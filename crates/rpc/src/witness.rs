//! `debug_executionWitness`: everything a stateless verifier needs to execute a block, in reth's format.
//!
//! The block is executed again over readers that remember what they are asked: trie nodes on the paths of all that is read and
//! changed, code, and the keys behind the hashes in the paths. Headers go back from the parent to the oldest block the execution
//! asks the hash of.

use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U256};
use oceanid_chain::{credit, payments};
use oceanid_stf::{AccountState, BlockEnv, BlockExecutor, StateReader};
use oceanid_store::{StateView, StoreError};
use oceanid_trie::update_state_root;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The answer.
#[derive(Debug, Serialize)]
struct Witness {
    /// RLP of trie nodes.
    state: BTreeSet<Bytes>,
    /// Code that was executed or read.
    codes: BTreeSet<Bytes>,
    /// Addresses and storage slots that were read.
    keys: BTreeSet<Bytes>,
    /// RLP of headers, the oldest first, the parent last.
    headers: Vec<Bytes>,
}

pub(crate) fn register(registry: &mut Registry) {
    registry.trace("debug_executionWitness", |context: &Context, args: &mut Args<'_>| {
        let id: BlockId = args.required("block")?;
        witness(context, context.resolve(id)?)
    });
}

fn witness(context: &Context, number: u64) -> RpcResult<Witness> {
    let block = context.block(number)?.ok_or_else(|| RpcError::not_found(format!("block {number} does not exist")))?;
    let before = number.checked_sub(1).ok_or_else(|| RpcError::invalid("block", "genesis is not executed"))?;
    let header = block.block.header();
    let rules = context.backend.rules(header);
    let reader = Recorder::new(context.backend.store.view_at(before)?);

    let mut executor = BlockExecutor::new(rules, context.backend.chain_id, BlockEnv::of(header), &reader)?;
    for (tx, sender) in block.block.body().iter().zip(&block.senders) {
        executor.execute(tx, *sender)?;
    }
    if header.requests_hash.is_some() && !rules.is_rollup() {
        executor.requests()?;
    }
    let mut diff = executor.finish().diff;
    let extras = context.backend.extras(number);
    let reward = context.backend.reward(number);
    credit(&reader, &mut diff, payments(header, &extras.ommers, extras.withdrawals.as_deref(), reward))?;

    let nodes = oceanid_trie::Recorder::new(reader.view.trie()?);
    let mut state = BTreeSet::new();
    let seen = reader.seen.into_inner();
    for (address, slots) in &seen.accounts {
        let slots: Vec<U256> = slots.iter().copied().collect();
        let proof = reader.view.proof(*address, &slots)?;
        state.extend(proof.account_proof);
        state.extend(proof.storage.into_iter().flat_map(|(_, slot)| slot.proof));
    }
    // The paths of what changed, and the siblings that move up where something is deleted.
    update_state_root(&nodes, reader.view.state_root(), &diff.hashed()).map_err(RpcError::internal)?;

    let mut keys = BTreeSet::new();
    for (address, slots) in &seen.accounts {
        keys.insert(Bytes::copy_from_slice(address.as_slice()));
        keys.extend(slots.iter().map(|slot| Bytes::from(slot.to_be_bytes::<32>())));
    }
    let oldest = seen.oldest_hash.unwrap_or(before).min(before);
    let headers = (oldest..=before).map(|number| Ok(Bytes::from(alloy_rlp::encode(context.header(number)?))));
    let headers = headers.collect::<RpcResult<_>>()?;
    state.extend(nodes.into_witness().iter().map(|(_, node)| node.clone()));
    Ok(Witness { state, codes: seen.codes.into_values().collect(), keys, headers })
}

/// What execution asked for.
#[derive(Debug, Default)]
struct Seen {
    accounts: BTreeMap<Address, BTreeSet<U256>>,
    codes: BTreeMap<B256, Bytes>,
    oldest_hash: Option<u64>,
}

/// A state that remembers what is read of it.
struct Recorder {
    view: StateView,
    seen: Mutex<Seen>,
}

impl Recorder {
    fn new(view: StateView) -> Self {
        Self { view, seen: Mutex::default() }
    }
}

impl StateReader for Recorder {
    type Error = StoreError;

    fn account(&self, address: Address) -> Result<Option<AccountState>, StoreError> {
        self.seen.lock().accounts.entry(address).or_default();
        self.view.account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        self.seen.lock().accounts.entry(address).or_default().insert(slot);
        self.view.storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes, StoreError> {
        let code = self.view.code(hash)?;
        self.seen.lock().codes.insert(hash, code.clone());
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StoreError> {
        let mut seen = self.seen.lock();
        seen.oldest_hash = Some(seen.oldest_hash.map_or(number, |oldest| oldest.min(number)));
        self.view.block_hash(number)
    }
}
