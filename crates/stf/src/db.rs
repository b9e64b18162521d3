//! The EVM's view of a [`StateReader`], which remembers what was there before the block.

use crate::{AccountState, StateDiff, StateReader, StorageDiff};
use alloc::vec::Vec;
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use core::fmt::{Debug, Display};
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::primitives::hardfork::SpecId;
use revm::state::{Account, AccountId, AccountInfo, EvmState};
use revm::{Database, DatabaseRef};

/// A reader's failure, as the EVM carries it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError<E: Debug + Display>(pub E);

impl<E: Debug + Display + Send + Sync + 'static> DBErrorMarker for ReadError<E> {}

/// A [`StateReader`] under one block's journal.
///
/// The journal asks for an account or slot once and keeps it to the end of the block, so the logs of answers are what
/// everything the block can have changed was before. An account that exists carries its place in the log as revm's account id.
#[derive(Debug)]
pub struct Db<'a, R> {
    reader: &'a R,
    parent: (u64, B256),
    /// Empty accounts that were touched exist, as they did before EIP-161.
    keeps_empty: bool,
    /// Accounts that exist.
    accounts: Vec<(Address, AccountState)>,
    slots: Vec<(Address, U256, U256)>,
    codes: B256Map<Bytecode>,
}

impl<'a, R: StateReader> Db<'a, R> {
    /// A view for the block after `parent` (number and hash).
    pub(crate) fn new(reader: &'a R, parent: (u64, B256), spec: SpecId) -> Self {
        let keeps_empty = !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        Self { reader, parent, keeps_empty, accounts: Vec::new(), slots: Vec::new(), codes: B256Map::default() }
    }

    /// The state below the block.
    pub const fn reader(&self) -> &'a R {
        self.reader
    }

    /// Makes room for so many more accounts.
    pub(crate) fn reserve(&mut self, accounts: usize) {
        self.accounts.reserve(accounts);
    }

    /// What the journal's final `state` changed against what was read.
    pub(crate) fn diff(&self, state: &EvmState) -> StateDiff {
        // Hashed and sized like the journal's map: filling it in the other's order walks memory from one end to the other.
        let accounts = AddressMap::with_capacity_and_hasher(state.len(), state.hasher().clone());
        let mut diff = StateDiff { accounts, ..StateDiff::default() };
        let mut by_address = None;
        for (address, account) in state.iter().filter(|(_, account)| account.is_touched()) {
            let before = match account.info.account_id {
                Some(id) => self.accounts.get(id.get()).map(|(_, before)| *before),
                // A self-destruct forgets the id; without one the account is new, and nothing was there before.
                None if account.is_selfdestructed() => by_address
                    .get_or_insert_with(|| self.accounts.iter().copied().collect::<AddressMap<_>>())
                    .get(address)
                    .copied(),
                None => None,
            };
            diff.record(*address, account, before, self.keeps_empty);
        }
        // Slots of one contract come in runs.
        for run in self.slots.chunk_by(|(one, ..), (next, ..)| one == next) {
            let address = run[0].0;
            let Some(account) = state.get(&address).filter(|account| account.is_touched() && !starts_over(account)) else {
                continue;
            };
            let mut changed = run
                .iter()
                .filter_map(|(_, slot, before)| Some((*slot, *before, account.storage.get(slot)?.present_value)))
                .filter(|(_, before, after)| after != before)
                .map(|(slot, _, after)| (slot, after))
                .peekable();
            if changed.peek().is_some() {
                let slots = &mut diff.storage.entry(address).or_default().slots;
                slots.reserve(run.len());
                slots.extend(changed);
            }
        }
        diff
    }
}

impl StateDiff {
    /// Adds what a touched account became; its slots only if its storage began empty.
    fn record(&mut self, address: Address, account: &Account, before: Option<AccountState>, keeps_empty: bool) {
        let after = outcome(account, keeps_empty);
        if after != before {
            self.accounts.insert(address, after);
        }
        let Some(after) = after else { return };
        let old_code = before.map_or(KECCAK256_EMPTY, |before| before.code_hash);
        if after.code_hash != old_code
            && after.code_hash != KECCAK256_EMPTY
            && let Some(code) = &account.info.code
        {
            self.codes.insert(after.code_hash, code.original_bytes());
        }
        if starts_over(account) {
            let slots = account.storage.iter().map(|(slot, value)| (*slot, value.present_value));
            let storage = StorageDiff { wiped: before.is_some(), slots: slots.filter(|(_, value)| !value.is_zero()).collect() };
            if storage.wiped || !storage.slots.is_empty() {
                self.storage.insert(address, storage);
            }
        }
    }
}

/// The state a touched account has after the block (EIP-161: an empty one does not exist).
fn outcome(account: &Account, keeps_empty: bool) -> Option<AccountState> {
    // A self-destruct takes effect when the account is next loaded; without a later load it is still pending here.
    if account.is_selfdestructed_locally() || (account.is_empty() && !keeps_empty) {
        return None;
    }
    let AccountInfo { nonce, balance, code_hash, .. } = account.info;
    Some(AccountState { nonce, balance, code_hash })
}

/// True when the account's storage began empty within this block: nothing the reader says of it counts.
const fn starts_over(account: &Account) -> bool {
    account.is_created() || account.is_selfdestructed()
}

impl<R: StateReader> Database for Db<'_, R> {
    type Error = ReadError<R::Error>;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        let Some(account) = self.reader.account(address).map_err(ReadError)? else { return Ok(None) };
        let account_id = AccountId::new(self.accounts.len());
        self.accounts.push((address, account));
        Ok(Some(AccountInfo { account_id, ..account_info(account) }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Self::Error> {
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code.clone());
        }
        let code = Bytecode::new_raw(self.reader.code(hash).map_err(ReadError)?);
        self.codes.insert(hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        let value = self.reader.storage(address, slot).map_err(ReadError)?;
        self.slots.push((address, slot, value));
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        let (parent, hash) = self.parent;
        if number == parent { Ok(hash) } else { self.reader.block_hash(number).map_err(ReadError) }
    }
}

fn account_info(AccountState { nonce, balance, code_hash }: AccountState) -> AccountInfo {
    AccountInfo { nonce, balance, code_hash, account_id: None, code: None }
}

/// A [`StateReader`] as revm's read-only database, for tracers that look up the state before a transaction.
#[derive(Clone, Copy, Debug)]
pub struct ReaderRef<'a, R>(pub &'a R);

impl<R: StateReader> DatabaseRef for ReaderRef<'_, R> {
    type Error = ReadError<R::Error>;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        Ok(self.0.account(address).map_err(ReadError)?.map(account_info))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Self::Error> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        Ok(Bytecode::new_raw(self.0.code(hash).map_err(ReadError)?))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        self.0.storage(address, slot).map_err(ReadError)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        self.0.block_hash(number).map_err(ReadError)
    }
}
