//! Errors of the trie: what was wrong, in which trie, at which path.

use alloy_primitives::B256;
use alloy_trie::Nibbles;
use core::fmt;

/// Why a trie operation failed. None of these is ever a panic: nodes may come from a damaged store or a hostile witness.
///
/// `owner` is `None` in the account trie and `Some(keccak256(address))` in that account's storage trie; `path` counts
/// nibbles from that trie's root; `E` is the reader's own error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrieError<E> {
    /// The reader itself failed, an I/O error for instance.
    #[error("cannot read trie nodes")]
    Reader(#[source] E),

    /// The reader has no node where the trie needs one: the store is incomplete or the witness too small.
    #[error("{}: node missing at path {}, hash {hash}", TrieName(.owner), Path(.path))]
    MissingNode {
        /// Which trie.
        owner: Option<B256>,
        /// Where in it.
        path: Nibbles,
        /// The hash by which the parent (or the given root) refers to the node.
        hash: B256,
    },

    /// The reader gave bytes that do not hash to what the parent refers to.
    #[error("{}: node at path {} does not have its hash {hash}", TrieName(.owner), Path(.path))]
    WrongHash {
        /// Which trie.
        owner: Option<B256>,
        /// Where in it.
        path: Nibbles,
        /// The hash by which the parent (or the given root) refers to the node.
        hash: B256,
    },

    /// The bytes hash as expected but are no canonical trie node.
    #[error("{}: node at path {} is invalid: {fault}", TrieName(.owner), Path(.path))]
    InvalidNode {
        /// Which trie.
        owner: Option<B256>,
        /// Where in it.
        path: Nibbles,
        /// Which rule the bytes break.
        fault: NodeFault,
    },

    /// A leaf's value is neither an account (account trie) nor a nonzero 256-bit integer (storage trie).
    #[error("{}: value of key {key} is invalid: {fault}", TrieName(.owner))]
    InvalidValue {
        /// Which trie.
        owner: Option<B256>,
        /// Hashed address or hashed slot.
        key: B256,
        /// What is wrong with it.
        fault: alloy_rlp::Error,
    },

    /// Storage would be written below an account that neither exists nor is created by the same changes.
    #[error("storage written for account {hashed_address}, which does not exist")]
    StorageWithoutAccount {
        /// keccak256 of the account's address.
        hashed_address: B256,
    },
}

/// Which rule of a canonical node the bytes break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeFault {
    /// Not RLP, or not canonical RLP.
    #[error("{0}")]
    Rlp(alloy_rlp::Error),
    /// Bytes follow the node.
    #[error("bytes follow the node")]
    TrailingBytes,
    /// A node has two items (leaf, extension) or seventeen (branch).
    #[error("{0} items, expected 2 or 17")]
    ItemCount(usize),
    /// The path of a leaf or extension is no canonical hex-prefix string, or an extension's path is empty.
    #[error("malformed path")]
    Path,
    /// The node's path does not end where keys of 64 nibbles end: too long, or a leaf too short.
    #[error("path does not fit keys of 64 nibbles")]
    Depth,
    /// A branch holds a value, which keys of one length never give.
    #[error("branch with a value")]
    BranchValue,
    /// A branch has fewer than two children.
    #[error("branch with fewer than two children")]
    BranchTooSmall,
    /// A child is neither a 32-byte hash nor an embedded node shorter than 32 bytes.
    #[error("child is neither a hash nor an embedded node")]
    ChildReference,
    /// An extension leads to something other than a branch.
    #[error("extension does not lead to a branch")]
    ExtensionChild,
}

/// Prints which trie an owner stands for.
struct TrieName<'a>(&'a Option<B256>);

impl fmt::Display for TrieName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("account trie"),
            Some(owner) => write!(f, "storage trie of {owner}"),
        }
    }
}

/// Prints a path as its nibbles, the root's as `(root)`.
struct Path<'a>(&'a Nibbles);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(root)");
        }
        f.write_str("0x")?;
        self.0.iter().try_for_each(|nibble| write!(f, "{nibble:x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use core::convert::Infallible;

    #[test]
    fn a_missing_node_is_named_by_trie_path_and_hash() {
        let hash = B256::repeat_byte(0x22);
        let root = TrieError::<Infallible>::MissingNode { owner: None, path: Nibbles::new(), hash };
        assert_eq!(
            root.to_string(),
            "account trie: node missing at path (root), hash 0x2222222222222222222222222222222222222222222222222222222222222222"
        );
        let inner = TrieError::<Infallible>::MissingNode {
            owner: Some(B256::repeat_byte(0x11)),
            path: Nibbles::from_nibbles([0xa, 0x0, 0x3]),
            hash,
        };
        assert_eq!(
            inner.to_string(),
            "storage trie of 0x1111111111111111111111111111111111111111111111111111111111111111: node missing at path \
             0xa03, hash 0x2222222222222222222222222222222222222222222222222222222222222222"
        );
    }
}
