//! `oceanid bridge`: the gas token from L1 to L2 and back, with progress on stderr and the result on stdout.
