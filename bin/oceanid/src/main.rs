//! The `oceanid` command line.
fn main() {}
