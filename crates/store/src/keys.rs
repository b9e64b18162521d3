//! Keys of the engine's tables, and the compact form of values. A tag byte comes first, so that kinds never mix and no key is empty.
//!
//! | table | key | value |
//! |---|---|---|
//! | state | `a` address | nonce, balance, code hash |
//! | state | `s` address slot | value |
//! | state | `c` code hash | code |
//! | nodes | `a` path | node of the account trie |
//! | nodes | `s` hashed address, path | node of a storage trie |
//! | nodes | `r` node hash | retained node, kept for ever |
//! | history | state key, block | value before that block |
//! | history | `b` block | the state keys that block changed |
//! | blocks | `h` / `t` / `r` / `s` / `c` block | header, transactions, receipts, senders, certificate |
//! | index | `h` block hash | block |
//! | index | `n` block | block hash |
//! | index | `t` transaction hash | block, position |
//! | index | `l` log key's hash (8 bytes), block | nothing: the block has such a log |
//! | index | `m` name | named value of a user of the store |
//! | index | `i` name | the store's own named value |
//!
//! Blocks are numbers as eight bytes, big endian; a path is its length and two nibbles a byte.

use crate::{StoreError, logs::LogDigest};
use alloy_primitives::{Address, B256, U256};
use oceanid_stf::AccountState;
use oceanid_trie::Nibbles;

pub(crate) const ACCOUNT: u8 = b'a';
pub(crate) const STORAGE: u8 = b's';
pub(crate) const CODE: u8 = b'c';
pub(crate) const RETAINED: u8 = b'r';
pub(crate) const CHANGES: u8 = b'b';

pub(crate) const HEADER: u8 = b'h';
pub(crate) const TRANSACTIONS: u8 = b't';
pub(crate) const RECEIPTS: u8 = b'r';
pub(crate) const SENDERS: u8 = b's';
pub(crate) const CERTIFICATE: u8 = b'c';

pub(crate) const BY_HASH: u8 = b'h';
pub(crate) const BY_NUMBER: u8 = b'n';
pub(crate) const TX: u8 = b't';
pub(crate) const LOGS: u8 = b'l';
pub(crate) const NAMED: u8 = b'm';
/// Newest flushed block, its hash and state root, and the reach of history.
pub(crate) const POSITION: &[u8] = b"iposition";
/// Safe and finalized block.
pub(crate) const MARKS: &[u8] = b"imarks";

/// Bytes of an account's state key.
pub(crate) const ACCOUNT_KEY: usize = 1 + 20;
/// Bytes of a storage slot's state key.
pub(crate) const STORAGE_KEY: usize = 1 + 20 + 32;

/// What a state change is keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StateKey {
    Account(Address),
    Storage(Address, U256),
}

impl StateKey {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Account(address) => {
                out.push(ACCOUNT);
                out.extend_from_slice(address.as_slice());
            }
            Self::Storage(address, slot) => {
                out.push(STORAGE);
                out.extend_from_slice(address.as_slice());
                out.extend_from_slice(&slot.to_be_bytes::<32>());
            }
        }
    }

    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(STORAGE_KEY);
        self.encode(&mut out);
        out
    }

    /// Takes one key off the front of `bytes`.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, StoreError> {
        let short = || StoreError::damaged("list of changed keys", "unknown or short key");
        let length = match bytes.first() {
            Some(&ACCOUNT) => ACCOUNT_KEY,
            Some(&STORAGE) => STORAGE_KEY,
            _ => return Err(short()),
        };
        let (key, rest) = bytes.split_at_checked(length).ok_or_else(short)?;
        *bytes = rest;
        let address = Address::from_slice(&key[1..ACCOUNT_KEY]);
        Ok(if length == ACCOUNT_KEY {
            Self::Account(address)
        } else {
            Self::Storage(address, U256::from_be_slice(&key[ACCOUNT_KEY..]))
        })
    }
}

/// Prefix of every storage slot of an account.
pub(crate) fn storage_prefix(address: Address) -> Vec<u8> {
    tagged(STORAGE, address.as_slice())
}

/// `tag ++ bytes`.
pub(crate) fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + bytes.len());
    key.push(tag);
    key.extend_from_slice(bytes);
    key
}

/// `tag ++ number`.
pub(crate) fn numbered(tag: u8, number: u64) -> [u8; 9] {
    let mut key = [tag; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// History entry of a state key at a block.
pub(crate) fn history(key: &[u8], number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 8);
    out.extend_from_slice(key);
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// Entry of the log index.
pub(crate) fn logs(digest: &LogDigest, number: u64) -> [u8; 17] {
    let mut key = [LOGS; 17];
    key[1..9].copy_from_slice(digest);
    key[9..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Trie node by place.
pub(crate) fn node(owner: Option<B256>, path: &Nibbles) -> Vec<u8> {
    let packed = path.pack();
    let mut key = Vec::with_capacity(1 + 32 + 1 + packed.len());
    match owner {
        None => key.push(ACCOUNT),
        Some(owner) => {
            key.push(STORAGE);
            key.extend_from_slice(owner.as_slice());
        }
    }
    key.push(path.len() as u8);
    key.extend_from_slice(&packed);
    key
}

/// `None` is the empty string: absent.
pub(crate) fn encode_account(account: Option<&AccountState>) -> Vec<u8> {
    let Some(account) = account else { return Vec::new() };
    let mut out = Vec::with_capacity(72);
    out.extend_from_slice(account.code_hash.as_slice());
    out.extend_from_slice(&account.nonce.to_be_bytes());
    out.extend_from_slice(&account.balance.to_be_bytes_trimmed_vec());
    out
}

/// Reads what [`encode_account`] wrote.
pub(crate) fn decode_account(bytes: &[u8]) -> Result<Option<AccountState>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() < 40 || bytes.len() > 72 {
        return Err(StoreError::damaged("account", format!("{} bytes", bytes.len())));
    }
    Ok(Some(AccountState {
        code_hash: B256::from_slice(&bytes[..32]),
        nonce: u64::from_be_bytes(bytes[32..40].try_into().expect("eight bytes")),
        balance: U256::from_be_slice(&bytes[40..]),
    }))
}

/// Zero is the empty string: absent.
pub(crate) fn encode_slot(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

/// Reads what [`encode_slot`] wrote.
pub(crate) fn decode_slot(bytes: &[u8]) -> Result<U256, StoreError> {
    U256::try_from_be_slice(bytes).ok_or_else(|| StoreError::damaged("storage slot", format!("{} bytes", bytes.len())))
}

/// Reads a block number.
pub(crate) fn decode_number(bytes: &[u8]) -> Result<u64, StoreError> {
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| StoreError::damaged("block number", format!("{} bytes", bytes.len())))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        for account in [
            AccountState { nonce: 0, balance: U256::ZERO, code_hash: B256::ZERO },
            AccountState { nonce: u64::MAX, balance: U256::MAX, code_hash: B256::repeat_byte(9) },
        ] {
            let decoded = decode_account(&encode_account(Some(&account))).unwrap().unwrap();
            assert_eq!((decoded.nonce, decoded.balance, decoded.code_hash), (account.nonce, account.balance, account.code_hash));
        }
        assert!(decode_account(&encode_account(None)).unwrap().is_none());
        assert!(decode_account(&[0; 39]).is_err() && decode_account(&[0; 73]).is_err());
        for value in [U256::ZERO, U256::from(1), U256::MAX] {
            assert_eq!(decode_slot(&encode_slot(value)).unwrap(), value);
        }
        assert!(decode_slot(&[1; 33]).is_err());
    }

    #[test]
    fn state_keys_round_trip_in_a_list() {
        let keys = [StateKey::Account(Address::repeat_byte(1)), StateKey::Storage(Address::repeat_byte(2), U256::from(3))];
        let mut list = Vec::new();
        keys.iter().for_each(|key| key.encode(&mut list));
        let mut rest = list.as_slice();
        assert_eq!([StateKey::decode(&mut rest).unwrap(), StateKey::decode(&mut rest).unwrap()], keys);
        assert!(rest.is_empty());
        assert!(StateKey::decode(&mut &list[..20]).is_err());
        assert!(StateKey::decode(&mut [7u8; 60].as_slice()).is_err());
    }

    #[test]
    fn places_of_the_trie_have_distinct_keys() {
        let path = |nibbles: &[u8]| Nibbles::from_nibbles(nibbles);
        let paths = [path(&[]), path(&[0]), path(&[0, 0]), path(&[0, 0, 0]), path(&[1]), path(&[1, 0])];
        let mut keys: Vec<_> = paths.iter().flat_map(|path| [node(None, path), node(Some(B256::ZERO), path)]).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 2 * paths.len());
    }
}
