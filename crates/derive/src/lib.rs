//! Rebuilds the chain from L1 alone.
