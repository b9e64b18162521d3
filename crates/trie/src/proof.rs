//! Reading one key: the value, and the Merkle proof of it (EIP-1186).

use crate::{
    error::TrieError,
    node::{Node, child_hash},
    reader::{NodeReader, decode, fetch},
};
use alloc::vec::Vec;
use alloy_primitives::{B256, Bytes, U256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};

/// An account, or its absence, with the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account, `None` if the state has none at this address.
    pub account: Option<TrieAccount>,
    /// RLP of the nodes from the state root to the account's leaf, or to where the key leaves the trie. Nodes embedded in
    /// their parent are not repeated; empty for the empty trie.
    pub proof: Vec<Bytes>,
}

/// A storage value with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The value; zero if the slot is not set.
    pub value: U256,
    /// RLP of the nodes from the storage root, as in [`AccountProof::proof`].
    pub proof: Vec<Bytes>,
}

/// Reads an account. `hashed_address` is keccak256 of the address.
pub fn get_account<R: NodeReader>(
    reader: &R,
    root: B256,
    hashed_address: B256,
) -> Result<Option<TrieAccount>, TrieError<R::Error>> {
    walk(reader, None, root, hashed_address, |_| {})?.map(|rlp| decode_account(hashed_address, &rlp)).transpose()
}

/// Reads a storage slot of the account whose hashed address is `owner`; zero if the slot is not set. `hashed_slot` is
/// keccak256 of the slot's 32 bytes.
pub fn get_storage<R: NodeReader>(
    reader: &R,
    owner: B256,
    storage_root: B256,
    hashed_slot: B256,
) -> Result<U256, TrieError<R::Error>> {
    walk(reader, Some(owner), storage_root, hashed_slot, |_| {})?
        .map_or(Ok(U256::ZERO), |rlp| decode_storage(owner, hashed_slot, &rlp))
}

/// Reads an account with the proof that it is, or is not, in the state of `root`.
pub fn account_proof<R: NodeReader>(reader: &R, root: B256, hashed_address: B256) -> Result<AccountProof, TrieError<R::Error>> {
    let mut proof = Vec::new();
    let account = walk(reader, None, root, hashed_address, |rlp| proof.push(rlp.clone()))?
        .map(|rlp| decode_account(hashed_address, &rlp))
        .transpose()?;
    Ok(AccountProof { account, proof })
}

/// Reads a storage slot of the account whose hashed address is `owner` with the proof that it is, or is not, set.
pub fn storage_proof<R: NodeReader>(
    reader: &R,
    owner: B256,
    storage_root: B256,
    hashed_slot: B256,
) -> Result<StorageProof, TrieError<R::Error>> {
    let mut proof = Vec::new();
    let value = walk(reader, Some(owner), storage_root, hashed_slot, |rlp| proof.push(rlp.clone()))?
        .map_or(Ok(U256::ZERO), |rlp| decode_storage(owner, hashed_slot, &rlp))?;
    Ok(StorageProof { value, proof })
}

/// Decodes a leaf of the account trie.
pub(crate) fn decode_account<E>(hashed_address: B256, rlp: &[u8]) -> Result<TrieAccount, TrieError<E>> {
    alloy_rlp::decode_exact(rlp).map_err(|fault| TrieError::InvalidValue { owner: None, key: hashed_address, fault })
}

fn decode_storage<E>(owner: B256, hashed_slot: B256, rlp: &[u8]) -> Result<U256, TrieError<E>> {
    let invalid = |fault| TrieError::InvalidValue { owner: Some(owner), key: hashed_slot, fault };
    let value: U256 = alloy_rlp::decode_exact(rlp).map_err(invalid)?;
    if value.is_zero() { Err(invalid(alloy_rlp::Error::Custom("a stored zero"))) } else { Ok(value) }
}

/// Follows one key from the root and returns its leaf's value. `visit` sees each node that has a hash of its own.
fn walk<R: NodeReader>(
    reader: &R,
    owner: Option<B256>,
    root: B256,
    key: B256,
    mut visit: impl FnMut(&Bytes),
) -> Result<Option<Bytes>, TrieError<R::Error>> {
    if root == EMPTY_ROOT_HASH {
        return Ok(None);
    }
    let key = Nibbles::unpack(key);
    let mut path = Nibbles::new();
    let mut rlp = fetch(reader, owner, &path, root)?;
    visit(&rlp);
    loop {
        let rest = key.slice(path.len()..);
        let child = match decode(owner, &path, &rlp)? {
            Node::Leaf { key: suffix, value } => return Ok((suffix == rest).then(|| rlp.slice_ref(value))),
            Node::Extension { key: prefix, .. } if !rest.starts_with(&prefix) => return Ok(None),
            Node::Extension { key: prefix, child } => {
                path.extend(&prefix);
                child
            }
            Node::Branch { children } => {
                let nibble = rest.get_unchecked(0);
                path.push(nibble);
                children[usize::from(nibble)]
            }
        };
        rlp = if child.is_empty() {
            return Ok(None);
        } else if let Some(hash) = child_hash(child) {
            let node = fetch(reader, owner, &path, hash)?;
            visit(&node);
            node
        } else {
            rlp.slice_ref(child)
        };
    }
}
