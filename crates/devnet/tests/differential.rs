//! A random corpus executed twice, by the ledger of the embedded L1 and by anvil, a client nobody here wrote: receipts, headers (receipts
//! root, bloom, gas, base fee, blob gas) and, in the end, the whole state must be equal.
//!
//! anvil mines; the ledger is then given the same transactions under the same timestamp, coinbase and randomness. Where anvil 1.7.1 is
//! no Ethereum client, the comparison goes around it:
//! * The header of block 0 has the empty state root, so no block has the same hash on both chains. What EIP-2935 stores is overwritten
//!   with anvil's hashes after each block, and the corpus does not look at hashes of blocks.
//! * Its state roots count accounts that EIP-161 deletes, so they are comparable only until one is touched: block 1 is compared as it is.
//!   In the end the root is computed from all accounts that anvil writes to disk, without the empty ones. For the same reason it refunds
//!   gas (EIP-7702) for authorities that were touched but never existed, so those of the corpus begin with money.
//! * The transactions root of a block with blobs is over transactions with their sidecars; it is compared for all other blocks.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod anvil;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip4844WithSidecar, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4844::BlobTransactionSidecar;
use alloy_eips::eip4844::builder::{SidecarBuilder, SimpleCoder};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_provider::{Provider, RootProvider};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use anvil::Anvil;
use oceanid_chain::{EthGenesis, EthLedger, MineRequest};
use oceanid_contracts::helpers::{self, CREATE2_DEPLOYER};
use oceanid_devnet::accounts::{DEV_ETH, dev_signers, ether};
use oceanid_devnet::l1::load_trusted_setup;
use oceanid_devnet::network::connect;
use oceanid_primitives::{Header, TxEnvelope};
use oceanid_stf::{StateDiff, StateReader, ethereum_next_base_fee};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where the corpus begins. Any other value is as good.
const SEED: u64 = 0x0cea_41d0;
/// Blocks, of ten transactions each but for the first.
const BLOCKS: u64 = 40;
/// The same in the long mode of the test command.
const LONG_BLOCKS: u64 = 300;

const CHAIN_ID: u64 = 31_337;
/// Gas of a block: ten transactions of [`MOST_GAS`] fit.
const BLOCK_GAS: u64 = 5_000_000;
/// Gas limit of one transaction.
const MOST_GAS: u64 = 500_000;
/// Timestamp of block 0, and seconds between blocks.
const GENESIS_TIME: u64 = 1_700_000_000;
const BLOCK_TIME: u64 = 12;
/// Base fee of anvil's block 0, wei.
const GENESIS_BASE_FEE: u64 = 1_000_000_000;
const COINBASE: Address = Address::repeat_byte(0xc0);
const GWEI: u128 = 1_000_000_000;
/// Slots the contracts of the corpus use.
const SLOTS: u8 = 8;
/// Slots of EIP-2935's ring.
const HISTORY_WINDOW: u64 = 8_191;

/// splitmix64 (Steele, Lea and Flood): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn byte(&mut self, bound: u8) -> u8 {
        self.below(bound.into()) as u8
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Opcodes that push something about the transaction, the block or the frame: ADDRESS, ORIGIN, CALLER, CALLVALUE, CALLDATASIZE, CODESIZE,
/// GASPRICE, RETURNDATASIZE, COINBASE, TIMESTAMP, NUMBER, PREVRANDAO, GASLIMIT, CHAINID, SELFBALANCE, BASEFEE, BLOBBASEFEE, PC, MSIZE, GAS.
const ENVIRONMENT: [u8; 20] = hex!("303233343638 3a3d4142 4344454647 484a 58595a");
const BLOCKHASH: u8 = 0x40;
const SSTORE: u8 = 0x55;

/// Init codes of contracts that contracts create: one byte of code; storage, then SELFDESTRUCT; REVERT; code that EIP-3541 refuses;
/// storage without code.
const CHILDREN: [&[u8]; 5] =
    [&hex!("60015f5360015ff3"), &hex!("600160015533ff"), &hex!("5f5ffd"), &hex!("60ef5f5360015ff3"), &hex!("600160015500")];

/// Runtime code which counts in slot 1 and logs. What delegates to it can still send: it spends neither nonces nor money.
const COUNTER: [u8; 12] = hex!("600154600101600155 5f5fa0");

/// A signed transaction as the network carries it, and as a block holds it.
struct Sent {
    raw: Vec<u8>,
    envelope: TxEnvelope,
    sender: Address,
}

/// What all types have in common.
struct Draft {
    nonce: u64,
    gas_limit: u64,
    to: TxKind,
    value: U256,
    input: Bytes,
    access_list: AccessList,
    authorizations: Vec<SignedAuthorization>,
}

/// Makes the transactions and remembers whom they may have touched.
struct Corpus {
    random: Random,
    senders: Vec<PrivateKeySigner>,
    /// Accounts that delegate (EIP-7702) to anything; they send nothing.
    delegators: Vec<PrivateKeySigner>,
    contracts: Vec<Address>,
    counter: Address,
    touched: BTreeSet<Address>,
    sidecar: BlobTransactionSidecar,
}

impl Corpus {
    fn new() -> Self {
        let senders = dev_signers();
        let delegators: Vec<_> =
            (1..=6).map(|index| PrivateKeySigner::from_bytes(&B256::repeat_byte(index)).expect("a valid key")).collect();
        let known = senders.iter().chain(&delegators).map(PrivateKeySigner::address);
        Self {
            random: Random(SEED),
            counter: senders[0].address().create(0),
            contracts: vec![CREATE2_DEPLOYER],
            touched: known.chain([COINBASE, CREATE2_DEPLOYER]).collect(),
            senders,
            delegators,
            sidecar: SidecarBuilder::<SimpleCoder>::from_slice(b"blob").build_4844_with_settings(load_trusted_setup()).unwrap(),
        }
    }

    /// The first block: one contract that is known to exist, and money for the delegators.
    fn first(&mut self) -> Vec<Sent> {
        self.touched.insert(self.counter);
        let draft = |to, value, input| Draft {
            nonce: 0,
            gas_limit: MOST_GAS,
            to,
            value,
            input,
            access_list: AccessList::default(),
            authorizations: Vec::new(),
        };
        let mut sent = vec![self.sign(0, 2, draft(TxKind::Create, U256::ZERO, deploying(Vec::new(), &COUNTER).into()))];
        let delegators: Vec<_> = self.delegators.iter().map(PrivateKeySigner::address).collect();
        for (index, delegator) in delegators.into_iter().enumerate() {
            sent.push(self.sign(index + 1, 2, draft(TxKind::Call(delegator), U256::from(GWEI), Bytes::new())));
        }
        sent
    }

    /// A block: one transaction of each sender, whose nonces are given.
    fn block(&mut self, nonces: &[u64]) -> Vec<Sent> {
        nonces.iter().enumerate().map(|(sender, nonce)| self.transaction(sender, *nonce)).collect()
    }

    fn transaction(&mut self, sender: usize, nonce: u64) -> Sent {
        let creates = self.random.below(10) < 3;
        let kind = if creates { self.random.byte(3) } else { self.random.byte(5) };
        let to = if creates { TxKind::Create } else { TxKind::Call(self.somebody()) };
        let length = self.random.below(100);
        let input = if creates { self.init_code() } else { self.random.bytes(length) };
        if creates {
            let created = self.senders[sender].address().create(nonce);
            self.touched.insert(created);
            self.contracts.push(created);
        }
        let access_list = if kind == 0 { AccessList::default() } else { self.access_list() };
        let authorizations = if kind == 4 { self.authorizations(sender, nonce) } else { Vec::new() };
        // Never less than the intrinsic gas (EIP-2, 2028, 2930, 3860, 7623, 7702), often too little for what is asked.
        let bytes = input.len() as u64;
        let slots: usize = access_list.iter().map(|item| item.storage_keys.len()).sum();
        let create_gas = if creates { 32_000 + 2 * bytes.div_ceil(32) } else { 0 };
        let lists = 2_400 * access_list.len() as u64 + 1_900 * slots as u64 + 25_000 * authorizations.len() as u64;
        let intrinsic = 21_000 + (create_gas + lists + 16 * bytes).max(40 * bytes);
        let extra = self.random.pick(&[0, 3_000, 60_000, 400_000, 400_000, 400_000]);
        let gas_limit = (intrinsic + self.random.below(extra + 1)).min(MOST_GAS);
        let value = U256::from(self.random.pick(&[0, 0, 1, 1_000_000]));
        self.sign(sender, kind, Draft { nonce, gas_limit, to, value, input: input.into(), access_list, authorizations })
    }

    fn access_list(&mut self) -> AccessList {
        let items = (0..self.random.below(3)).map(|_| {
            let slots = (0..self.random.below(4)).map(|_| B256::with_last_byte(self.random.byte(SLOTS))).collect();
            AccessListItem { address: self.somebody(), storage_keys: slots }
        });
        AccessList(items.collect())
    }

    /// One or two authorizations: of an account that does not send (its nonce is a guess, so many are passed over), or of the sender.
    fn authorizations(&mut self, sender: usize, nonce: u64) -> Vec<SignedAuthorization> {
        let sign = |signer: &PrivateKeySigner, chain_id: u64, address, nonce| {
            let authorization = Authorization { chain_id: U256::from(chain_id), address, nonce };
            let signature = signer.sign_hash_sync(&authorization.signature_hash()).unwrap();
            authorization.into_signed(signature)
        };
        if self.random.one_in(3) {
            return vec![sign(&self.senders[sender], CHAIN_ID, self.random.pick(&[self.counter, Address::ZERO]), nonce + 1)];
        }
        let each = |_| {
            let target = if self.random.one_in(4) { Address::ZERO } else { self.somebody() };
            let chain_id = self.random.pick(&[0, CHAIN_ID, CHAIN_ID, CHAIN_ID + 1]);
            let delegator = self.random.below(self.delegators.len() as u64) as usize;
            sign(&self.delegators[delegator], chain_id, target, self.random.below(4))
        };
        (0..2).map(each).collect()
    }

    /// Any account: mostly a contract, sometimes one without code, a precompile, or nobody.
    fn somebody(&mut self) -> Address {
        let address = match self.random.below(10) {
            0 => self.senders[self.random.below(self.senders.len() as u64) as usize].address(),
            1 | 2 => self.delegators[self.random.below(self.delegators.len() as u64) as usize].address(),
            3 => Address::with_last_byte(1 + self.random.byte(0x11)),
            4 => Address::repeat_byte(0xa0 + self.random.byte(16)),
            // Recent ones more often, so that most of them are called at some time.
            5..=7 => self.contracts[self.contracts.len().saturating_sub(1 + self.random.below(20) as usize)],
            8 => self.counter,
            _ => self.random.pick(&self.contracts),
        };
        self.touched.insert(address);
        address
    }

    fn init_code(&mut self) -> Vec<u8> {
        let mut code = Vec::new();
        for _ in 0..self.random.below(3) {
            self.statement(&mut code);
        }
        match self.random.below(16) {
            // More than the largest code (EIP-170).
            0 => code.extend(hex!("6160015ff3")),
            1 | 2 => self.ending(&mut code),
            3 => return deploying(code, &[0xef]),
            _ => {
                let mut runtime = Vec::new();
                for _ in 0..1 + self.random.below(6) {
                    self.statement(&mut runtime);
                }
                self.ending(&mut runtime);
                return deploying(code, &runtime);
            }
        }
        code
    }

    /// Appends code that leaves the stack as it was.
    fn statement(&mut self, code: &mut Vec<u8>) {
        let (slot, other, small) = (self.random.byte(SLOTS), self.random.byte(SLOTS), self.random.byte(4));
        match self.random.below(18) {
            0 | 1 => code.extend([0x60, small, 0x60, slot, SSTORE]),
            // Adds one to a slot.
            2 => code.extend([0x60, 1, 0x60, slot, 0x54, 0x01, 0x60, slot, SSTORE]),
            3 | 4 => code.extend([self.random.pick(&ENVIRONMENT), 0x60, slot, SSTORE]),
            // LOG0 to LOG4.
            5 | 6 => {
                let topics = self.random.byte(5);
                (0..topics).for_each(|_| code.extend([0x60, self.random.byte(u8::MAX)]));
                code.extend([0x60, self.random.byte(64), 0x60, self.random.byte(64), 0xa0 + topics]);
            }
            // KECCAK256 of the beginning of memory.
            7 => code.extend([0x60, self.random.byte(100), 0x5f, 0x20, 0x60, slot, SSTORE]),
            // TSTORE, TLOAD.
            8 => code.extend([0x60, small, 0x60, slot, 0x5d, 0x60, other, 0x5c, 0x60, other, SSTORE]),
            // CALLDATALOAD, MSTORE.
            9 => code.extend([0x60, small, 0x35, 0x60, self.random.byte(64), 0x52]),
            // BALANCE, EXTCODESIZE, EXTCODEHASH.
            10 => {
                self.push_somebody(code);
                code.extend([self.random.pick(&[0x31, 0x3b, 0x3f]), 0x60, slot, SSTORE]);
            }
            // EXTCODECOPY.
            11 => {
                code.extend([0x60, 32, 0x5f, 0x5f]);
                self.push_somebody(code);
                code.push(0x3c);
            }
            // Reverts unless the first byte of the input is odd.
            12 => {
                let [high, low] = (code.len() as u16 + 14).to_be_bytes();
                code.extend([0x5f, 0x35, 0x5f, 0x1a, 0x60, 1, 0x16, 0x61, high, low, 0x57, 0x5f, 0x5f, 0xfd, 0x5b]);
            }
            // MCOPY, RETURNDATACOPY, BLOBHASH.
            13 => {
                code.extend([0x60, self.random.byte(64), 0x60, small, 0x60, self.random.byte(64), 0x5e, 0x3d, 0x5f, 0x5f, 0x3e]);
                code.extend([0x60, small / 2, 0x49, 0x60, slot, SSTORE]);
            }
            14 => {
                let child = self.random.pick(&CHILDREN);
                let length = child.len() as u8;
                code.push(0x5f + length);
                code.extend(child);
                code.extend([0x5f, 0x52]);
                // CREATE2 (with a salt) or CREATE.
                let salted = self.random.one_in(2);
                if salted {
                    code.extend([0x60, small]);
                }
                code.extend([
                    0x60,
                    length,
                    0x60,
                    32 - length,
                    0x60,
                    small / 3,
                    if salted { 0xf5 } else { 0xf0 },
                    0x60,
                    slot,
                    SSTORE,
                ]);
            }
            // CALL, CALLCODE, DELEGATECALL, STATICCALL, with all gas or a little.
            _ => {
                let call = self.random.pick(&[0xf1, 0xf1, 0xf2, 0xf4, 0xfa]);
                code.extend([0x60, 32, 0x5f, 0x60, 32, 0x5f]);
                if matches!(call, 0xf1 | 0xf2) {
                    code.extend([0x60, small / 2]);
                }
                self.push_somebody(code);
                if self.random.one_in(3) {
                    code.extend([0x61, self.random.byte(0x80), self.random.byte(u8::MAX)]);
                } else {
                    code.push(0x5a);
                }
                code.extend([call, 0x60, slot, SSTORE]);
            }
        }
    }

    fn push_somebody(&mut self, code: &mut Vec<u8>) {
        code.push(0x73);
        code.extend(self.somebody());
    }

    fn ending(&mut self, code: &mut Vec<u8>) {
        match self.random.below(12) {
            0..=3 => code.push(0x00),
            4..=6 => code.extend(hex!("60205ff3")),
            7 => code.extend(hex!("60205ffd")),
            8 => code.push(0xfe),
            9 => {
                self.push_somebody(code);
                code.push(0xff);
            }
            // Runs until the gas is gone.
            10 => {
                let [high, low] = (code.len() as u16).to_be_bytes();
                code.extend([0x5b, 0x61, high, low, 0x56]);
            }
            _ => code.extend(self.random.bytes(24).into_iter().map(|byte| if byte == BLOCKHASH { 0 } else { byte })),
        }
    }

    fn sign(&mut self, sender: usize, kind: u8, draft: Draft) -> Sent {
        let max_fee_per_gas = 200 * GWEI;
        let max_priority_fee_per_gas = u128::from(self.random.below(2 * GWEI as u64));
        let protected = !self.random.one_in(4);
        let signer = &self.senders[sender];
        let address = signer.address();
        let Draft { nonce, gas_limit, to, value, input, access_list, authorizations } = draft;
        let gas_price = max_fee_per_gas;
        let callee = to.to().copied().unwrap_or_default();
        let envelope: TxEnvelope = match kind {
            0 => {
                let chain_id = protected.then_some(CHAIN_ID);
                TxEnvelope::Legacy(signed(signer, TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input }))
            }
            1 => {
                let chain_id = CHAIN_ID;
                let tx = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
                TxEnvelope::Eip2930(signed(signer, tx))
            }
            2 => TxEnvelope::Eip1559(signed(
                signer,
                TxEip1559 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    input,
                },
            )),
            3 => {
                let tx = signed(
                    signer,
                    TxEip4844 {
                        chain_id: CHAIN_ID,
                        nonce,
                        gas_limit,
                        max_fee_per_gas,
                        max_priority_fee_per_gas,
                        to: callee,
                        value,
                        access_list,
                        blob_versioned_hashes: self.sidecar.versioned_hashes().collect(),
                        max_fee_per_blob_gas: GWEI,
                        input,
                    },
                );
                let with_sidecar = TxEip4844WithSidecar::from_tx_and_sidecar(tx.tx().clone(), self.sidecar.clone());
                let raw = with_sidecar.into_signed(*tx.signature()).encoded_2718();
                return Sent { raw, envelope: TxEnvelope::Eip4844(tx), sender: address };
            }
            _ => TxEnvelope::Eip7702(signed(
                signer,
                TxEip7702 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: callee,
                    value,
                    access_list,
                    authorization_list: authorizations,
                    input,
                },
            )),
        };
        Sent { raw: envelope.encoded_2718(), envelope, sender: address }
    }
}

fn signed<T: SignableTransaction<alloy_primitives::Signature>>(signer: &PrivateKeySigner, tx: T) -> alloy_consensus::Signed<T> {
    let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
    tx.into_signed(signature)
}

/// Init code: `constructor`, then the deployment of `runtime`.
fn deploying(mut constructor: Vec<u8>, runtime: &[u8]) -> Vec<u8> {
    let [high, low] = (runtime.len() as u16).to_be_bytes();
    let [from_high, from_low] = (constructor.len() as u16 + 13).to_be_bytes();
    constructor.extend([0x61, high, low, 0x61, from_high, from_low, 0x5f, 0x39, 0x61, high, low, 0x5f, 0xf3]);
    constructor.extend(runtime);
    constructor
}

/// Block 0 of the anvil that [`start_anvil`] starts.
fn genesis() -> EthGenesis {
    let code = |code: &Bytes| GenesisAccount { code: Some(code.clone()), ..GenesisAccount::default() };
    let helpers: BTreeMap<_, _> = helpers::accounts().into();
    let deployer = helpers[&CREATE2_DEPLOYER].code.as_ref().expect("a contract");
    let mut alloc = BTreeMap::from([(HISTORY_STORAGE_ADDRESS, code(&HISTORY_STORAGE_CODE)), (CREATE2_DEPLOYER, code(deployer))]);
    let funded =
        |signer: &PrivateKeySigner| (signer.address(), GenesisAccount { balance: ether(DEV_ETH), ..GenesisAccount::default() });
    alloc.extend(dev_signers().iter().map(funded));
    EthGenesis { chain_id: CHAIN_ID, timestamp: GENESIS_TIME, gas_limit: BLOCK_GAS, base_fee: GENESIS_BASE_FEE, alloc }
}

async fn ask(provider: &RootProvider, method: &'static str, params: impl Serialize) {
    let params = serde_json::value::to_raw_value(&params).unwrap();
    provider.raw_request_dyn(method.into(), &params).await.unwrap_or_else(|error| panic!("{method}: {error}"));
}

/// Starts anvil, which writes its state to `dump` when it is stopped.
async fn start_anvil(first_base_fee: u64, dump: &Path) -> Option<(Anvil, RootProvider)> {
    let (gas, time) = (BLOCK_GAS.to_string(), GENESIS_TIME.to_string());
    let dump = dump.to_str().expect("a temporary path is UTF-8");
    let options = ["--no-mining", "--order", "fifo", "--gas-limit", &gas, "--timestamp", &time, "--dump-state", dump];
    let anvil = Anvil::start("prague", &options).await?;
    let provider = connect(&anvil.url).unwrap();
    ask(&provider, "anvil_setBlockTimestampInterval", [BLOCK_TIME]).await;
    ask(&provider, "anvil_setCoinbase", [COINBASE]).await;
    // Block 1 would repeat the base fee of block 0; afterwards anvil follows EIP-1559.
    ask(&provider, "anvil_setNextBlockBaseFeePerGas", [U256::from(first_base_fee)]).await;
    Some((anvil, provider))
}

/// An account in the file that anvil writes.
#[derive(Deserialize)]
struct DumpedAccount {
    nonce: u64,
    balance: U256,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

/// The part of that file which is compared.
#[derive(Deserialize)]
struct Dump {
    accounts: BTreeMap<Address, DumpedAccount>,
}

/// Waits until the dump is there and whole: the npm package's `anvil` may end before the program it started.
async fn read(dump: &Path) -> Dump {
    for _ in 0..600 {
        if let Some(dump) = std::fs::read(dump).ok().and_then(|json| serde_json::from_slice(&json).ok()) {
            return dump;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("anvil has not written its state to {}", dump.display())
}

/// State root of a dump, after EIP-161.
fn root_of(dump: Dump, dir: &Path) -> B256 {
    let mut alloc = BTreeMap::new();
    for (address, DumpedAccount { nonce, balance, code, storage }) in dump.accounts {
        if nonce == 0 && balance.is_zero() && code.is_empty() {
            continue;
        }
        let storage = storage.iter().filter(|(_, value)| !value.is_zero()).map(|(slot, value)| ((*slot).into(), (*value).into()));
        let storage = Some(storage.collect());
        let code = (!code.is_empty()).then_some(code);
        alloc.insert(address, GenesisAccount { nonce: Some(nonce), balance, code, storage, ..GenesisAccount::default() });
    }
    let ledger = EthLedger::open(dir, &EthGenesis { alloc, ..genesis() }, EthLedger::default_config()).unwrap();
    ledger.head().header().state_root
}

/// What is not the same in both states, of these accounts and their first slots.
async fn disagreements(provider: &RootProvider, ledger: &EthLedger, accounts: &BTreeSet<Address>) -> Vec<String> {
    let view = ledger.view();
    let mut found = Vec::new();
    for address in accounts {
        let slots = (0..SLOTS).map(B256::with_last_byte).collect();
        let theirs = provider.get_proof(*address, slots).await.unwrap();
        let ours = view.account(*address).unwrap().unwrap_or_default();
        if (ours.nonce, ours.balance, ours.code_hash) != (theirs.nonce, theirs.balance, theirs.code_hash) {
            let theirs = (theirs.nonce, theirs.balance, theirs.code_hash);
            found.push(format!("{address}: {ours:?}, anvil {theirs:?}"));
        }
        for (slot, proof) in theirs.storage_proof.iter().enumerate() {
            let value = view.storage(*address, U256::from(slot)).unwrap();
            if value != proof.value {
                found.push(format!("{address} slot {slot}: {value}, anvil {}", proof.value));
            }
        }
    }
    found
}

/// What the corpus has shown, so that one which has become too tame is noticed.
#[derive(Debug, Default)]
struct Shown {
    succeeded: usize,
    failed: usize,
    out_of_gas: usize,
    created: usize,
    logs: usize,
    types: BTreeMap<u8, usize>,
}

#[tokio::test(flavor = "multi_thread")]
async fn differential_corpus_agrees_with_anvil() {
    let dir = tempfile::tempdir().unwrap();
    let dump = dir.path().join("dump.json");
    let ledger = EthLedger::open(&dir.path().join("ledger"), &genesis(), EthLedger::default_config()).unwrap();
    let Some((anvil, provider)) = start_anvil(ethereum_next_base_fee(ledger.head().header()), &dump).await else { return };
    let mut corpus = Corpus::new();
    let mut shown = Shown::default();
    let blocks = if std::env::var_os("OCEANID_LONG").is_some() { LONG_BLOCKS } else { BLOCKS };

    for number in 1..=blocks {
        let nonce = |signer: &PrivateKeySigner| ledger.view().account(signer.address()).unwrap().unwrap_or_default().nonce;
        let nonces: Vec<u64> = corpus.senders.iter().map(nonce).collect();
        let sent = if number == 1 { corpus.first() } else { corpus.block(&nonces) };
        for transaction in &sent {
            let accepted = provider.send_raw_transaction(&transaction.raw).await;
            let pending = accepted.unwrap_or_else(|error| panic!("block {number}: {:?}: {error}", transaction.envelope));
            assert_eq!(pending.tx_hash(), transaction.envelope.hash());
        }
        ask(&provider, "evm_mine", ()).await;

        let theirs = provider.get_block_by_number(BlockNumberOrTag::Number(number)).await.unwrap().expect("mined");
        let receipts = provider.get_block_receipts(BlockId::number(number)).await.unwrap().expect("mined");
        assert_eq!(receipts.len(), sent.len(), "block {number}: anvil takes all");
        let header = theirs.header.inner;
        let mut sent: HashMap<B256, Sent> = sent.into_iter().map(|sent| (*sent.envelope.hash(), sent)).collect();
        let in_order = receipts.iter().map(|receipt| sent.remove(&receipt.transaction_hash).expect("sent"));
        let mut source: VecDeque<_> = in_order.map(|sent| (Arc::new(sent.envelope), sent.sender)).collect();

        let mut irregular = StateDiff::default();
        let history = irregular.storage.entry(HISTORY_STORAGE_ADDRESS).or_default();
        history.slots.insert(U256::from((number - 1) % HISTORY_WINDOW), header.parent_hash.into());
        let request = MineRequest {
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            prevrandao: header.mix_hash,
            parent_beacon_block_root: header.parent_beacon_block_root.expect("Prague"),
            max_bytes: usize::MAX,
            irregular,
        };
        let parent_hash = ledger.head().hash();
        let ours = ledger.mine(request, &mut source).unwrap();

        assert_eq!(ours.receipts.len(), receipts.len(), "block {number}: both take the same transactions");
        let mut gas_before = 0;
        for ((ours, theirs), envelope) in ours.receipts.iter().zip(&receipts).zip(ours.block.body()) {
            let place = format!("block {number}, seed {SEED:#x}, {envelope:?}");
            let gas_used = ours.cumulative_gas_used - gas_before;
            gas_before = ours.cumulative_gas_used;
            let logs: Vec<_> = theirs.inner.logs().iter().map(|log| log.inner.clone()).collect();
            assert_eq!(ours.success, theirs.status(), "status: {place}");
            assert_eq!(gas_used, theirs.gas_used, "gas: {place}");
            assert_eq!(ours.cumulative_gas_used, theirs.inner.cumulative_gas_used(), "cumulative gas: {place}");
            assert_eq!(ours.logs, logs, "logs: {place}");
            assert_eq!(ours.bloom(), *theirs.inner.logs_bloom(), "bloom: {place}");
            assert_eq!(ours.tx_type, u8::from(theirs.transaction_type()), "type: {place}");
            shown.succeeded += usize::from(ours.success);
            shown.failed += usize::from(!ours.success);
            shown.out_of_gas += usize::from(!ours.success && gas_used == alloy_consensus::Transaction::gas_limit(envelope));
            shown.created += usize::from(ours.success && theirs.contract_address.is_some());
            shown.logs += logs.len();
            *shown.types.entry(ours.tx_type).or_default() += 1;
        }
        let (mine, mut expected) = (ours.block.header(), Header { parent_hash, ..header });
        if number > 1 {
            expected.state_root = mine.state_root;
        }
        if ours.block.body().iter().any(|envelope| matches!(envelope, TxEnvelope::Eip4844(_))) {
            expected.transactions_root = mine.transactions_root;
        }
        assert_eq!(*mine, expected, "block {number}, seed {SEED:#x}");
    }

    // First what the store answers, account by account, then the root, which leaves nothing out.
    assert_eq!(disagreements(&provider, &ledger, &corpus.touched).await, Vec::<String>::new());
    drop(anvil);
    let dump = read(&dump).await;
    assert_eq!(root_of(dump, &dir.path().join("dumped")), ledger.head().header().state_root, "seed {SEED:#x}");
    let Shown { succeeded, failed, out_of_gas, created, logs, .. } = shown;
    let least = (blocks * 10 / 20) as usize;
    assert!([succeeded, failed, out_of_gas, created, logs].iter().all(|count| *count > least), "{shown:?}");
    assert_eq!(shown.types.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4], "{shown:?}");
}
