//! Batch codec and data availability modes.
