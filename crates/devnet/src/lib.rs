//! Embedded L1 and the one-command development network.
