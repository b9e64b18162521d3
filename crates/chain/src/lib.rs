//! The ledger: executes blocks on the store, before and after finality.
