//! The genesis state of Layer 2: predeploys with their first storage, helper contracts, funded accounts; and what it hashes to.

use crate::{helpers, l2};
use alloy_eips::eip2935::HISTORY_STORAGE_CODE;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use oceanid_primitives::predeploys::{self, committee_registry, epoch_ledger, fee_vault, l1_block_info, slot};
use oceanid_primitives::{ChainSpec, Committee, Header, output_root};
use oceanid_trie::{EMPTY_ROOT_HASH, HashedAccount, HashedState, HashedStorage, KECCAK_EMPTY, state_root_from_scratch};
use std::collections::BTreeMap;

/// Longest text that Solidity keeps in one slot, bytes.
pub const MAX_SHORT_STRING: usize = 31;

/// What the genesis state depends on, the addresses of L1 contracts among it.
#[derive(Clone, Debug)]
pub struct GenesisInput<'a> {
    /// `SequencerPool` on L1.
    pub pool: Address,
    /// `GasPriceOracle` on L1.
    pub oracle: Address,
    /// `L1Bridge` on L1.
    pub bridge: Address,
    /// `MiningRewards` on L1.
    pub rewards: Address,
    /// `FeeSplitter` on L1.
    pub fee_splitter: Address,
    /// Seconds between two blocks that sequencers are paid for at most ([`oceanid_primitives::Timing::max_paid_gap`]).
    pub max_paid_gap: u64,
    /// Seconds since 1970 of block 0, when epoch 0 begins.
    pub timestamp: u64,
    /// Wei of the gas token per 10^18 wei of ETH: the ratio the oracle starts with.
    pub gas_token_ratio: U256,
    /// Name of the gas token, at most [`MAX_SHORT_STRING`] bytes.
    pub token_name: &'a str,
    /// Symbol of the gas token, at most [`MAX_SHORT_STRING`] bytes.
    pub token_symbol: &'a str,
    /// Supply of the gas token on L1, wei.
    pub token_supply: U256,
    /// The first committee.
    pub committee: &'a Committee,
    /// Native balances. The same sum must be in the Portal's escrow.
    pub balances: &'a BTreeMap<Address, U256>,
}

/// Why there is no genesis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The name or symbol of the gas token is too long.
    #[error("gas token's {field} has {length} bytes, at most {MAX_SHORT_STRING} fit into genesis")]
    LongText {
        /// `name` or `symbol`.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// A funded account is a contract of genesis.
    #[error("genesis balance for {0}, which is a predeploy")]
    FundedPredeploy(Address),
}

/// Solidity's short form of a string: the text left-aligned, twice its length in the lowest byte.
fn short_string(field: &'static str, text: &str) -> Result<B256, GenesisError> {
    if text.len() > MAX_SHORT_STRING {
        return Err(GenesisError::LongText { field, length: text.len() });
    }
    let mut word = [0u8; 32];
    word[..text.len()].copy_from_slice(text.as_bytes());
    word[31] = 2 * text.len() as u8;
    Ok(word.into())
}

/// A contract account with storage.
fn predeploy<const N: usize>(code: &Bytes, storage: [(U256, B256); N]) -> GenesisAccount {
    let storage: BTreeMap<B256, B256> =
        storage.into_iter().filter(|(_, value)| !value.is_zero()).map(|(key, value)| (key.into(), value)).collect();
    GenesisAccount { storage: (!storage.is_empty()).then_some(storage), ..helpers::contract(code.clone()) }
}

/// The accounts of block 0.
pub fn alloc(input: &GenesisInput<'_>) -> Result<BTreeMap<Address, GenesisAccount>, GenesisError> {
    // The registry has "deployed" the members of committee 1 with its first nonce, as it will deploy those of later committees.
    let members = predeploys::COMMITTEE_REGISTRY.create(1);
    let committee = input.committee;
    let mut registry = predeploy(
        &l2::CommitteeRegistry::DEPLOYED_BYTECODE,
        [
            (slot(committee_registry::POOL), input.pool.into_word()),
            (slot(committee_registry::LATEST), U256::from(committee.id).into()),
            (committee_registry::mapping_slot(committee.id, committee_registry::SEEDS), committee.seed),
            (committee_registry::mapping_slot(committee.id, committee_registry::POINTERS), members.into_word()),
        ],
    );
    registry.nonce = Some(2);

    let mut accounts: BTreeMap<Address, GenesisAccount> = [
        (predeploys::MESSAGE_PASSER, predeploy(&l2::L2ToL1MessagePasser::DEPLOYED_BYTECODE, [])),
        (
            predeploys::L1_BLOCK_INFO,
            predeploy(
                &l2::L1BlockInfo::DEPLOYED_BYTECODE,
                [
                    (slot(l1_block_info::GAS_TOKEN_RATIO), input.gas_token_ratio.into()),
                    (slot(l1_block_info::ORACLE), input.oracle.into_word()),
                ],
            ),
        ),
        (
            predeploys::FEE_VAULT,
            predeploy(&l2::FeeVault::DEPLOYED_BYTECODE, [(slot(fee_vault::SPLITTER), input.fee_splitter.into_word())]),
        ),
        (predeploys::L2_BRIDGE, predeploy(&l2::L2Bridge::DEPLOYED_BYTECODE, [(slot(0), input.bridge.into_word())])),
        (predeploys::COMMITTEE_REGISTRY, registry),
        (
            predeploys::EPOCH_LEDGER,
            predeploy(
                &l2::EpochLedger::DEPLOYED_BYTECODE,
                [
                    (slot(epoch_ledger::REWARDS), epoch_ledger::rewards(input.rewards, input.max_paid_gap).into()),
                    (slot(epoch_ledger::RUNNING), epoch_ledger::running(0, committee.id, input.timestamp).into()),
                ],
            ),
        ),
        (members, helpers::contract([&[0u8], committee.pack().as_slice()].concat().into())),
        (
            predeploys::NATIVE_TOKEN,
            predeploy(
                &l2::NativeToken::DEPLOYED_BYTECODE,
                [
                    (slot(0), short_string("name", input.token_name)?),
                    (slot(1), short_string("symbol", input.token_symbol)?),
                    (slot(2), input.token_supply.into()),
                ],
            ),
        ),
        (predeploys::HISTORY_STORAGE, predeploy(&HISTORY_STORAGE_CODE, [])),
    ]
    .into();
    accounts.extend(helpers::accounts());

    for (address, balance) in input.balances {
        let account = GenesisAccount { balance: *balance, ..GenesisAccount::default() };
        if accounts.insert(*address, account).is_some() {
            return Err(GenesisError::FundedPredeploy(*address));
        }
    }
    Ok(accounts)
}

/// What L1 is told about genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisCommitment {
    /// The header of block 0.
    pub header: Header,
    /// Its hash.
    pub hash: B256,
    /// Output root of block 0.
    pub output_root: B256,
}

/// Hashes the genesis of `spec`.
pub fn commitment(spec: &ChainSpec) -> GenesisCommitment {
    let state = hashed(&spec.alloc);
    let (state_root, _, storage_roots) =
        state_root_from_scratch(&state).expect("a state written from nothing has no missing nodes");
    let passer = keccak256(predeploys::MESSAGE_PASSER);
    let message_passer_root = storage_roots.get(&passer).copied().unwrap_or(EMPTY_ROOT_HASH);
    let header = spec.genesis_header(state_root, message_passer_root);
    let hash = header.hash_slow();
    GenesisCommitment { hash, output_root: output_root(state_root, message_passer_root, hash), header }
}

fn hashed(alloc: &BTreeMap<Address, GenesisAccount>) -> HashedState {
    let mut state = HashedState::default();
    for (address, account) in alloc {
        let key = keccak256(address);
        let code_hash = account.code.as_ref().filter(|code| !code.is_empty()).map_or(KECCAK_EMPTY, keccak256);
        let nonce = account.nonce.unwrap_or_default();
        state.accounts.insert(key, Some(HashedAccount { nonce, balance: account.balance, code_hash }));
        if let Some(storage) = &account.storage {
            let slots = storage.iter().map(|(slot, value)| (keccak256(slot), U256::from_be_bytes(value.0))).collect();
            state.storages.insert(key, HashedStorage { wiped: false, slots });
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::FixedBytes;
    use oceanid_primitives::Member;

    fn committee() -> Committee {
        let member = Member { id: 1, identity: B256::repeat_byte(1), bls_key: FixedBytes::repeat_byte(2), weight: 7 };
        Committee { id: 1, seed: B256::repeat_byte(3), members: vec![member] }
    }

    fn input<'a>(committee: &'a Committee, balances: &'a BTreeMap<Address, U256>) -> GenesisInput<'a> {
        GenesisInput {
            pool: Address::repeat_byte(0x11),
            oracle: Address::repeat_byte(0x12),
            bridge: Address::repeat_byte(0x13),
            rewards: Address::repeat_byte(0x14),
            fee_splitter: Address::repeat_byte(0x15),
            max_paid_gap: 80,
            timestamp: 1_700_000_000,
            gas_token_ratio: U256::from(5),
            token_name: "Metis",
            token_symbol: "METIS",
            token_supply: U256::from(1_000),
            committee,
            balances,
        }
    }

    #[test]
    fn the_registry_holds_the_first_committee_where_the_node_reads_it() {
        let committee = committee();
        let accounts = alloc(&input(&committee, &BTreeMap::new())).unwrap();
        let registry = &accounts[&predeploys::COMMITTEE_REGISTRY];
        let read = |key: U256| registry.storage.as_ref().unwrap()[&B256::from(key)];
        assert_eq!(read(slot(committee_registry::LATEST)), B256::with_last_byte(1));
        assert_eq!(read(committee_registry::mapping_slot(1, committee_registry::SEEDS)), committee.seed);
        let pointer = Address::from_word(read(committee_registry::mapping_slot(1, committee_registry::POINTERS)));
        let code = accounts[&pointer].code.as_ref().unwrap();
        assert_eq!(code[0], 0);
        assert_eq!(Committee::unpack(1, committee.seed, &code[1..]).unwrap(), committee);
    }

    #[test]
    fn the_ledger_knows_whom_to_tell_and_what_gap_is_paid() {
        let committee = committee();
        let accounts = alloc(&input(&committee, &BTreeMap::new())).unwrap();
        let word = accounts[&predeploys::EPOCH_LEDGER].storage.as_ref().unwrap()[&B256::ZERO];
        assert_eq!(Address::from_word(word), Address::repeat_byte(0x14));
        assert_eq!(word[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80], "EpochLedger: address rewards, then uint64 maxGap");
    }

    #[test]
    fn the_same_state_hashed_by_alloy() {
        let committee = committee();
        let balances = BTreeMap::from([(Address::repeat_byte(0x99), U256::from(10).pow(U256::from(21)))]);
        let accounts = alloc(&input(&committee, &balances)).unwrap();
        let (root, _, _) = state_root_from_scratch(&hashed(&accounts)).unwrap();
        let leaves = accounts.iter().map(|(address, account)| (*address, account.clone().into_trie_account()));
        assert_eq!(root, alloy_trie::root::state_root_unhashed(leaves));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let committee = committee();
        let none = BTreeMap::new();
        let long = GenesisInput { token_name: "a name of more than thirty-one bytes", ..input(&committee, &none) };
        assert!(matches!(alloc(&long), Err(GenesisError::LongText { field: "name", .. })));
        let balances = BTreeMap::from([(predeploys::FEE_VAULT, U256::from(1))]);
        assert!(matches!(alloc(&input(&committee, &balances)), Err(GenesisError::FundedPredeploy(_))));
    }

    #[test]
    fn short_strings_are_in_solidity_form() {
        let word = short_string("symbol", "METIS").unwrap();
        assert_eq!(&word[..5], b"METIS");
        assert_eq!(word[31], 10);
    }
}
