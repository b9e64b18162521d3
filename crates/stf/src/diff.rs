//! What a block changed: the difference between two states.

use crate::AccountState;
use alloc::collections::BTreeMap;
use alloy_primitives::map::{AddressMap, B256Map, U256Map};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use oceanid_trie::{HashedAccount, HashedState, HashedStorage};

/// Changes of one or more blocks. Minimal for one block: what ended as it began is not listed.
///
/// The maps have no order; whoever encodes one sorts it first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDiff {
    /// New state of accounts; `None` deletes the account and all its storage.
    pub accounts: AddressMap<Option<AccountState>>,
    /// Changed storage of accounts that exist afterwards.
    pub storage: AddressMap<StorageDiff>,
    /// New code by its hash. Code is content-addressed and never deleted.
    pub codes: B256Map<Bytes>,
}

/// Changed storage of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageDiff {
    /// True when all storage the account had before is gone, whatever `slots` says then comes on top.
    pub wiped: bool,
    /// New values; zero clears the slot.
    pub slots: U256Map<U256>,
}

impl StateDiff {
    /// True when nothing changed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.storage.is_empty() && self.codes.is_empty()
    }

    /// Adds what happened after: the result leads from this diff's start to `later`'s end.
    pub fn merge(&mut self, later: Self) {
        for (address, account) in later.accounts {
            let before = self.accounts.insert(address, account);
            match account {
                None => {
                    self.storage.remove(&address);
                }
                // Deleted, then created again: what the first state stored must not shine through.
                Some(_) if before == Some(None) => self.storage.entry(address).or_default().wiped = true,
                Some(_) => {}
            }
        }
        for (address, storage) in later.storage {
            let merged = self.storage.entry(address).or_default();
            if storage.wiped {
                *merged = storage;
            } else {
                merged.slots.extend(storage.slots);
            }
        }
        self.codes.extend(later.codes);
    }

    /// The account as this diff leaves it; `None` if the diff does not speak of it.
    pub fn account(&self, address: &Address) -> Option<Option<AccountState>> {
        self.accounts.get(address).copied()
    }

    /// The slot as this diff leaves it; `None` if the diff does not speak of it.
    pub fn slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        if let Some(storage) = self.storage.get(address) {
            if let Some(value) = storage.slots.get(slot) {
                return Some(*value);
            }
            if storage.wiped {
                return Some(U256::ZERO);
            }
        }
        matches!(self.accounts.get(address), Some(None)).then_some(U256::ZERO)
    }

    /// The same changes under hashed keys, as the trie wants them.
    pub fn hashed(&self) -> HashedState {
        let accounts =
            self.accounts.iter().map(|(address, account)| (keccak256(address), account.map(HashedAccount::from))).collect();
        let storages = self
            .storage
            .iter()
            .map(|(address, storage)| {
                let slots: BTreeMap<B256, U256> =
                    storage.slots.iter().map(|(slot, value)| (keccak256(slot.to_be_bytes::<32>()), *value)).collect();
                (keccak256(address), HashedStorage { wiped: storage.wiped, slots })
            })
            .collect();
        HashedState { accounts, storages }
    }
}

impl From<AccountState> for HashedAccount {
    fn from(AccountState { nonce, balance, code_hash }: AccountState) -> Self {
        Self { nonce, balance, code_hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Address = Address::repeat_byte(7);

    fn with_balance(balance: u64) -> Option<AccountState> {
        Some(AccountState { balance: U256::from(balance), ..Default::default() })
    }

    fn diff(account: Option<AccountState>, storage: Option<StorageDiff>) -> StateDiff {
        let mut diff = StateDiff::default();
        diff.accounts.insert(WHO, account);
        diff.storage.extend(storage.map(|storage| (WHO, storage)));
        diff
    }

    fn slots(wiped: bool, values: &[(u64, u64)]) -> Option<StorageDiff> {
        let slots = values.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect();
        Some(StorageDiff { wiped, slots })
    }

    #[test]
    fn merging_keeps_the_newest_value() {
        let mut merged = diff(with_balance(1), slots(false, &[(1, 1), (2, 2)]));
        merged.merge(diff(with_balance(2), slots(false, &[(2, 3)])));
        assert_eq!(merged, diff(with_balance(2), slots(false, &[(1, 1), (2, 3)])));
    }

    #[test]
    fn deletion_takes_storage_along_and_rebirth_stays_wiped() {
        let mut merged = diff(with_balance(1), slots(false, &[(1, 1)]));
        merged.merge(diff(None, None));
        assert_eq!(merged, diff(None, None));
        assert_eq!(merged.slot(&WHO, &U256::from(9)), Some(U256::ZERO));
        merged.merge(diff(with_balance(3), slots(false, &[(4, 4)])));
        assert_eq!(merged, diff(with_balance(3), slots(true, &[(4, 4)])));
        assert_eq!(merged.slot(&WHO, &U256::from(1)), Some(U256::ZERO));
        merged.merge(diff(None, None));
        merged.merge(diff(with_balance(5), None));
        assert_eq!(merged, diff(with_balance(5), slots(true, &[])));
    }

    #[test]
    fn a_later_wipe_drops_earlier_slots() {
        let mut merged = diff(with_balance(1), slots(false, &[(1, 1)]));
        merged.merge(diff(with_balance(1), slots(true, &[(2, 2)])));
        assert_eq!(merged, diff(with_balance(1), slots(true, &[(2, 2)])));
    }
}
