//! Durable state: write-ahead log, flat state, trie nodes, history.
