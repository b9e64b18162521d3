//! Everything said to or heard from L1.
