//! Output roots, version 0 of the OP Stack.

use alloy_primitives::{B256, keccak256};

/// `keccak256(bytes32(0) ++ stateRoot ++ messagePasserStorageRoot ++ blockHash)`
/// (OP Stack, "L2 Output Commitment Construction", version 0).
pub fn output_root(state_root: B256, message_passer_root: B256, block_hash: B256) -> B256 {
    let mut preimage = [0u8; 128];
    preimage[32..64].copy_from_slice(state_root.as_slice());
    preimage[64..96].copy_from_slice(message_passer_root.as_slice());
    preimage[96..].copy_from_slice(block_hash.as_slice());
    keccak256(preimage)
}
