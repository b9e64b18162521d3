//! What the benches run on: funded accounts with keys, an ERC-20, a chain specification, an L1 that stands still.

use crate::report::count;
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, Signature, hex, keccak256};
use oceanid_primitives::{
    ChainSpec, Committee, FeeParams, L1Block, L1Contracts, L1DataFee, L1Origin, L1View, Member, Timing, TxEnvelope, predeploys,
};
use oceanid_sequencer::NodeKeys;
use oceanid_stf::workload::{self, CHAIN_ID, Shape};
use secp256k1::{Message, Secp256k1, SecretKey, SignOnly};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The block of all figures: 5,000 transfers and 2,000 ERC-20 transfers, 0.95 MB.
pub(crate) const BLOCK: Shape = Shape::STANDARD;
/// Beyond the length of any run, so that no boundary is in the figures.
const EPOCH_LENGTH: u64 = 10_000;
/// Seconds since 1970.
const GENESIS_TIME: u64 = 1_700_000_000;

/// Runtime code of an OpenZeppelin ERC20.
pub(crate) fn token_code() -> eyre::Result<Bytes> {
    let artifact: serde_json::Value = serde_json::from_str(include_str!("../../contracts/artifacts/BridgedERC20.json"))?;
    let code = artifact["deployedBytecode"].as_str().ok_or_else(|| eyre::eyre!("BridgedERC20.json has no deployedBytecode"))?;
    Ok(hex::decode(code)?.into())
}

/// Accounts that can sign.
pub(crate) struct Accounts {
    secp: Secp256k1<SignOnly>,
    keys: Vec<SecretKey>,
    pub addresses: Vec<Address>,
}

impl Accounts {
    /// The first `number` accounts of an endless list.
    pub(crate) fn new(number: usize) -> Self {
        eprintln!("making {} keys", count(number));
        let secp = Secp256k1::signing_only();
        let indices: Vec<u64> = (0..number as u64).collect();
        let make = |index: &u64| {
            let key = SecretKey::from_byte_array(&keccak256(index.to_be_bytes()).0).expect("a hash is a key but for luck");
            let public = key.public_key(&secp).serialize_uncompressed();
            (key, Address::from_word(keccak256(&public[1..])))
        };
        let (keys, addresses) = in_parallel(&indices, make).into_iter().unzip();
        Self { secp, keys, addresses }
    }

    /// Signs as account `index`.
    pub(crate) fn sign(&self, index: usize, tx: TxEip1559) -> TxEnvelope {
        let hash = Message::from_digest(tx.signature_hash().0);
        let (parity, bytes) = self.secp.sign_ecdsa_recoverable(&hash, &self.keys[index]).serialize_compact();
        let signature = Signature::from_bytes_and_parity(&bytes, i32::from(parity) == 1);
        TxEnvelope::Eip1559(tx.into_signed(signature))
    }

    /// Signed blocks of [`BLOCK`], one after another.
    pub(crate) fn blocks(&self, number: usize) -> Vec<Vec<(TxEnvelope, Address)>> {
        eprintln!("signing {} blocks", count(number));
        let mut nonces = vec![0; self.addresses.len()];
        (0..number as u64)
            .map(|seed| workload::block(&self.addresses, BLOCK, &mut nonces, seed, |index, tx| self.sign(index, tx)))
            .collect()
    }
}

/// `work` on every item, on as many threads as there are cores, in order.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = &work;
    std::thread::scope(|scope| {
        let part = items.len().div_ceil(threads).max(1);
        let workers: Vec<_> =
            items.chunks(part).map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<_>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("the work does not panic")).collect()
    })
}

/// Keys of a member of the committee.
pub(crate) fn member_keys(index: u8) -> NodeKeys {
    NodeKeys::derive(&[index + 1; 32]).expect("a seed")
}

fn committee(members: u8) -> Committee {
    let mut members: Vec<Member> = (0..members)
        .map(|index| {
            let keys = member_keys(index);
            Member { id: u64::from(index) + 1, identity: keys.identity(), bls_key: keys.bls_compressed(), weight: 1_000 }
        })
        .collect();
    members.sort_by_key(|member| member.identity);
    Committee { id: 1, seed: B256::repeat_byte(1), members }
}

/// A chain of so many members in which `accounts` hold coins and tokens. Blocks follow each other by `block_time_ms` at least.
pub(crate) fn spec(accounts: &[Address], members: u8, block_time_ms: u64) -> eyre::Result<Arc<ChainSpec>> {
    let mut alloc = BTreeMap::new();
    for address in predeploys::CONTRACTS {
        // STOP: all that these benches need of them.
        alloc.insert(address, GenesisAccount::default().with_code(Some(Bytes::from_static(&[0]))));
    }
    let state = workload::genesis(accounts, token_code()?);
    for (address, account) in state.accounts {
        let Some(account) = account else { continue };
        let code = state.codes.get(&account.code_hash).cloned();
        let storage = state
            .storage
            .get(&address)
            .map(|storage| storage.slots.iter().map(|(slot, value)| (B256::from(*slot), B256::from(*value))).collect());
        let account = GenesisAccount::default().with_nonce(Some(account.nonce)).with_balance(account.balance);
        alloc.insert(address, account.with_code(code).with_storage(storage));
    }
    Ok(Arc::new(ChainSpec {
        name: "bench".into(),
        chain_id: CHAIN_ID,
        l1_chain_id: 1,
        genesis_timestamp: GENESIS_TIME,
        fees: FeeParams {
            gas_limit: 2_000_000_000,
            elasticity: 6,
            denominator: 50,
            initial_base_fee: 1_000_000_000,
            min_base_fee: 1_000_000,
        },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms,
            heartbeat_ms: block_time_ms.max(1_000),
            epoch_length: EPOCH_LENGTH,
            origin_depth: Some(0),
            max_origin_lag: 100,
            max_origin_advance: 1,
            max_clock_drift: 5,
            challenge_window: 60,
            stall_timeout: 3_600,
        },
        l1: L1Contracts {
            start: StillL1::ORIGIN,
            token: Address::ZERO,
            portal: Address::ZERO,
            rollup: Address::repeat_byte(9),
            pool: Address::ZERO,
            bridge: Address::ZERO,
            oracle: Address::ZERO,
            ..L1Contracts::default()
        },
        committee: committee(members),
        alloc,
    }))
}

/// An L1 that never moves on: blocks hold what the bench puts in, and no deposits.
pub(crate) struct StillL1;

impl StillL1 {
    const ORIGIN: L1Origin = L1Origin { number: 1, hash: B256::repeat_byte(1) };
}

impl L1View for StillL1 {
    fn newest_origin(&self) -> Option<L1Origin> {
        Some(Self::ORIGIN)
    }

    fn block(&self, number: u64) -> Option<Arc<L1Block>> {
        (number == Self::ORIGIN.number).then(|| {
            Arc::new(L1Block {
                number,
                hash: Self::ORIGIN.hash,
                parent_hash: B256::ZERO,
                timestamp: GENESIS_TIME,
                base_fee: 7,
                blob_base_fee: 1,
                deposits: Vec::new(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_transactions_recover_to_their_accounts() {
        let accounts = Accounts::new(BLOCK.transfers + BLOCK.token_transfers);
        for (tx, sender) in accounts.blocks(1).remove(0).into_iter().take(10) {
            assert_eq!(tx.recover_sender().unwrap(), sender);
        }
    }
}
