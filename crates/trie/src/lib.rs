//! Incremental Merkle-Patricia trie.
