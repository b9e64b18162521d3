//! Composition of a node: typed config, builder, shutdown.
