//! A chain of random blocks, determined by a seed and the number, with a plain model of every state.

use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use oceanid_primitives::{Block, Header, Receipt, SealedBlock, TxDeposit, TxEnvelope};
use oceanid_stf::{AccountState, StateDiff, StateReader, StorageDiff};
use oceanid_store::{ExecutedBlock, LogKey, LogQuery, StateView, Store, StoreConfig, StoreError, StoreKind};
use oceanid_trie::{EMPTY_ROOT_HASH, state_root_from_scratch, update_state_root};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

pub(crate) const CHAIN: u64 = 77;
pub(crate) const ADDRESSES: u64 = 12;
pub(crate) const SLOTS: u64 = 6;
/// Its storage trie is retained.
pub(crate) const RETAINED: Address = address(0);

pub(crate) const fn address(index: u64) -> Address {
    Address::with_last_byte(index as u8 + 1)
}

/// All there is to know of one state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) accounts: BTreeMap<Address, AccountState2>,
    pub(crate) storage: BTreeMap<(Address, U256), U256>,
}

/// [`AccountState`], ordered and comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccountState2 {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code_hash: B256,
}

impl From<AccountState> for AccountState2 {
    fn from(account: AccountState) -> Self {
        Self { nonce: account.nonce, balance: account.balance, code_hash: account.code_hash }
    }
}

/// The chain so far.
pub(crate) struct Model {
    pub(crate) seed: u64,
    /// States by block number.
    pub(crate) states: Vec<State>,
    pub(crate) headers: Vec<Header>,
    pub(crate) blocks: Vec<Arc<SealedBlock>>,
}

pub(crate) fn config() -> StoreConfig {
    StoreConfig {
        history: 10,
        retain: vec![RETAINED],
        cache_bytes: 1 << 20,
        memtable_bytes: 1 << 20,
        flush_blocks: 3,
        flush_bytes: 1 << 20,
        flush_interval: Duration::from_millis(20),
        backlog_blocks: 6,
        backlog_bytes: 4 << 20,
        log_segment_bytes: 2_000,
        ..StoreConfig::new(StoreKind::L2)
    }
}

pub(crate) fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, config(), CHAIN, genesis())
}

fn genesis_diff() -> StateDiff {
    let mut diff = StateDiff::default();
    for index in 0..4 {
        let account = AccountState { nonce: 1, balance: U256::from(1_000 + index), ..Default::default() };
        diff.accounts.insert(address(index), Some(account));
        let slots = [(U256::ZERO, U256::from(index + 1))].into_iter().collect();
        diff.storage.insert(address(index), StorageDiff { wiped: false, slots });
    }
    diff
}

pub(crate) fn genesis() -> Arc<ExecutedBlock> {
    let diff = genesis_diff();
    let (state_root, trie, _) = state_root_from_scratch(&diff.hashed()).unwrap();
    let block = SealedBlock::new(Block { header: Header { state_root, ..Default::default() }, body: Vec::new() });
    Arc::new(ExecutedBlock::new(Arc::new(block), Vec::new(), Vec::new(), diff, trie))
}

impl State {
    pub(crate) fn apply(&mut self, diff: &StateDiff) {
        for (address, account) in &diff.accounts {
            match account {
                Some(account) => {
                    self.accounts.insert(*address, (*account).into());
                }
                None => {
                    self.accounts.remove(address);
                    self.storage.retain(|(owner, _), _| owner != address);
                }
            }
        }
        for (address, storage) in &diff.storage {
            if storage.wiped {
                self.storage.retain(|(owner, _), _| owner != address);
            }
            for (slot, value) in &storage.slots {
                if value.is_zero() {
                    self.storage.remove(&(*address, *slot));
                } else {
                    self.storage.insert((*address, *slot), *value);
                }
            }
        }
    }

    /// Compares every account and slot with what a view says.
    pub(crate) fn check(&self, view: &StateView) {
        for index in 0..ADDRESSES {
            let address = address(index);
            let account = view.account(address).unwrap().map(AccountState2::from);
            assert_eq!(account, self.accounts.get(&address).copied(), "account {address} at block {}", view.number());
            if let Some(account) = account.filter(|account| account.code_hash != alloy_primitives::KECCAK256_EMPTY) {
                assert_eq!(keccak256(view.code(account.code_hash).unwrap()), account.code_hash);
            }
            for slot in 0..SLOTS {
                let expected = self.storage.get(&(address, U256::from(slot))).copied().unwrap_or_default();
                let got = view.storage(address, U256::from(slot)).unwrap();
                assert_eq!(got, expected, "slot {slot} of {address} at block {}", view.number());
            }
        }
    }

    /// Proves every account and slot in a view (the trie checks each node against the view's root) and compares.
    pub(crate) fn check_proofs(&self, view: &StateView) {
        let slots: Vec<U256> = (0..SLOTS).map(U256::from).collect();
        for index in 0..ADDRESSES {
            let address = address(index);
            let proof = view.proof(address, &slots).unwrap();
            let account = proof.account.map(|account| AccountState2 {
                nonce: account.nonce,
                balance: account.balance,
                code_hash: account.code_hash,
            });
            assert_eq!(account, self.accounts.get(&address).copied(), "proof of {address} at block {}", view.number());
            for (slot, proof) in proof.storage {
                assert_eq!(proof.value, self.storage.get(&(address, slot)).copied().unwrap_or_default());
            }
        }
    }

    pub(crate) fn storage_root(&self, owner: Address) -> B256 {
        let slots: BTreeMap<B256, U256> = self
            .storage
            .iter()
            .filter(|((address, _), _)| *address == owner)
            .map(|((_, slot), value)| (keccak256(slot.to_be_bytes::<32>()), *value))
            .collect();
        if slots.is_empty() {
            return EMPTY_ROOT_HASH;
        }
        let nodes = oceanid_trie::WitnessNodes::default();
        oceanid_trie::storage_root_update(&nodes, keccak256(owner), EMPTY_ROOT_HASH, &slots).unwrap().0
    }
}

/// What block `number` changes; depends on nothing but its arguments.
fn random_diff(seed: u64, number: u64, state: &State) -> StateDiff {
    let mut rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut diff = StateDiff::default();
    for _ in 0..rng.random_range(0..8) {
        let address = address(rng.random_range(0..ADDRESSES));
        if diff.accounts.contains_key(&address) || diff.storage.contains_key(&address) {
            continue;
        }
        let old = state.accounts.get(&address);
        let mut new = AccountState {
            nonce: old.map_or(0, |old| old.nonce) + 1,
            balance: U256::from(rng.random::<u64>()),
            code_hash: old.map_or(alloy_primitives::KECCAK256_EMPTY, |old| old.code_hash),
        };
        if rng.random_bool(0.2) {
            let code = Bytes::from(vec![rng.random::<u8>(); 40]);
            new.code_hash = keccak256(&code);
            diff.codes.insert(new.code_hash, code);
        }
        let destroyed = old.is_some() && address != RETAINED && rng.random_bool(0.2);
        if destroyed && rng.random_bool(0.5) {
            diff.accounts.insert(address, None);
            continue;
        }
        // A change of storage alone does not touch the account.
        if old.is_none() || destroyed || rng.random_bool(0.7) {
            diff.accounts.insert(address, Some(new));
        }
        let mut storage = StorageDiff { wiped: destroyed, ..Default::default() };
        for _ in 0..rng.random_range(0..4) {
            let value = if rng.random_bool(0.3) { U256::ZERO } else { U256::from(rng.random::<u128>()) };
            storage.slots.insert(U256::from(rng.random_range(0..SLOTS)), value);
        }
        if storage.wiped || !storage.slots.is_empty() {
            diff.storage.insert(address, storage);
        }
    }
    diff
}

fn transaction(seed: u64, number: u64, index: u64) -> TxEnvelope {
    TxEnvelope::from(TxDeposit {
        source_hash: keccak256([seed.to_be_bytes(), number.to_be_bytes(), index.to_be_bytes()].concat()),
        from: address(index),
        to: TxKind::Call(address(index + 1)),
        mint: 0,
        value: U256::from(number),
        gas_limit: 21_000,
        is_system_transaction: false,
        input: Bytes::from(vec![0xab; 100]),
    })
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        let genesis = genesis();
        let mut state = State::default();
        state.apply(&genesis_diff());
        let block = genesis.block().clone();
        Self { seed, states: vec![state], headers: vec![block.header().clone()], blocks: vec![block] }
    }

    pub(crate) fn head(&self) -> u64 {
        self.headers.len() as u64 - 1
    }

    /// Makes the next block on the state `view`, which must be the model's head.
    pub(crate) fn next(&mut self, view: &StateView) -> Arc<ExecutedBlock> {
        let number = self.head() + 1;
        let state = self.states.last().unwrap();
        let diff = random_diff(self.seed, number, state);
        let (state_root, trie, _) = update_state_root(&view.trie().unwrap(), view.state_root(), &diff.hashed()).unwrap();
        let mut state = state.clone();
        state.apply(&diff);
        let body: Vec<_> = (0..number % 3).map(|index| transaction(self.seed, number, index)).collect();
        let receipts = body
            .iter()
            .enumerate()
            .map(|(index, _)| Receipt {
                tx_type: 0x7e,
                success: true,
                cumulative_gas_used: 21_000 * (index as u64 + 1),
                logs: logs(number, index as u64),
                ..empty_receipt()
            })
            .collect();
        let senders = (0..body.len() as u64).map(address).collect();
        let parent = self.blocks.last().unwrap();
        let header = Header { number, parent_hash: parent.hash(), state_root, ..Default::default() };
        let block = Arc::new(SealedBlock::new(Block { header, body }));
        self.states.push(state);
        self.headers.push(block.header().clone());
        self.blocks.push(block.clone());
        Arc::new(ExecutedBlock::new(block, receipts, senders, diff, trie))
    }

    pub(crate) fn commit(&mut self, store: &Store) {
        let block = self.next(&store.view());
        let certificate = block.number().is_multiple_of(2).then(|| certificate(block.number()));
        store.commit(block, certificate).unwrap();
    }

    /// Everything the store should know about the chain.
    pub(crate) fn check(&self, store: &Store) {
        let head = self.head();
        assert_eq!(store.head().number, head);
        assert_eq!(store.head().hash, self.blocks.last().unwrap().hash());
        self.states.last().unwrap().check(&store.view());
        for number in 0..=head {
            let block = &self.blocks[number as usize];
            assert_eq!(store.header(number).unwrap().as_ref(), Some(&self.headers[number as usize]));
            let committed = store.committed(number).unwrap().unwrap();
            assert_eq!(committed.block.hash(), block.hash());
            assert_eq!(committed.receipts.len(), block.body().len());
            assert_eq!(store.receipts(number).unwrap().unwrap(), committed.receipts);
            assert_eq!(store.senders(number).unwrap().unwrap(), committed.senders);
            assert_eq!(store.block(number).unwrap().unwrap().block(), block.block());
            assert_eq!(store.number_of(block.hash()).unwrap(), Some(number));
            assert_eq!(store.hash_of(number).unwrap(), Some(block.hash()));
            let expected = (number > 0 && number.is_multiple_of(2)).then(|| certificate(number));
            assert_eq!(store.certificate(number).unwrap(), expected);
            for (index, transaction) in block.body().iter().enumerate() {
                let location = store.tx_location(*transaction.hash()).unwrap().unwrap();
                assert_eq!((location.block, location.index as usize), (number, index));
            }
        }
        check_logs(store, head);
        assert!(store.header(head + 1).unwrap().is_none() && store.block(head + 1).unwrap().is_none());
        assert!(matches!(store.view_at(head + 1), Err(StoreError::Unknown { .. })));
    }

    /// Every past state the store still has, values and proofs, and the refusal of older ones.
    pub(crate) fn check_history(&self, store: &Store) {
        let oldest = store.oldest_state();
        assert!(oldest <= self.head().saturating_sub(config().history), "history is as long as promised");
        for number in oldest..=self.head() {
            let view = match store.view_at(number) {
                // The flush in the background may let go of it meanwhile, but of nothing that was promised.
                Err(StoreError::Pruned { oldest, .. }) if oldest <= self.head().saturating_sub(config().history) => continue,
                view => view.unwrap(),
            };
            assert_eq!(view.state_root(), self.headers[number as usize].state_root);
            assert_eq!(view.hash(), self.blocks[number as usize].hash());
            self.states[number as usize].check(&view);
            self.states[number as usize].check_proofs(&view);
            let ancestor = number / 2;
            assert_eq!(view.block_hash(ancestor).unwrap(), self.blocks[ancestor as usize].hash());
        }
        if let Some(pruned) = oldest.checked_sub(1) {
            assert!(matches!(store.view_at(pruned), Err(StoreError::Pruned { .. })));
        }
        let slots: Vec<U256> = (0..SLOTS).map(U256::from).collect();
        for state in &self.states {
            let proofs = store.retained_proof(RETAINED, state.storage_root(RETAINED), &slots).unwrap();
            for (slot, proof) in proofs {
                assert_eq!(proof.value, state.storage.get(&(RETAINED, slot)).copied().unwrap_or_default());
            }
        }
    }
}

pub(crate) fn certificate(number: u64) -> Bytes {
    Bytes::from(number.to_be_bytes().to_vec())
}

/// Logs of a transaction: no, one, or two topics.
fn logs(number: u64, index: u64) -> Vec<Log> {
    let topics = (0..number % 3).map(|topic| B256::with_last_byte((number + index + topic) as u8 % 5)).collect();
    let log = Log::new_unchecked(address((number + index) % ADDRESSES), topics, Bytes::from(vec![7; 5]));
    vec![log; (number % 4 / 2) as usize]
}

/// The log index against a look at every log.
fn check_logs(store: &Store, head: u64) {
    let flushed = store.flushed();
    let blocks: Vec<_> = (0..=head).map(|number| (number, store.receipts(number).unwrap().unwrap())).collect();
    let mut keys = vec![LogKey::Any];
    keys.extend((0..ADDRESSES).map(|index| LogKey::Address(address(index))));
    keys.extend((0..3).flat_map(|position| (0..5).map(move |topic| LogKey::Topic(position, B256::with_last_byte(topic)))));
    let has = |receipts: &[Receipt], key: &LogKey| {
        receipts.iter().flat_map(|receipt| &receipt.logs).any(|log| match key {
            LogKey::Any => true,
            LogKey::Address(address) => log.address == *address,
            LogKey::Topic(position, topic) => log.topics().get(*position as usize) == Some(topic),
        })
    };
    let compare = |conditions: &[Vec<LogKey>]| {
        let query = LogQuery::new(conditions);
        let found: Vec<u64> = store.log_blocks(&query, 1, head).unwrap();
        let matching = |receipts: &[Receipt]| conditions.iter().all(|keys| keys.iter().any(|key| has(receipts, key)));
        let expected = blocks.iter().filter(|(_, receipts)| matching(receipts) && has(receipts, &LogKey::Any));
        let expected: Vec<u64> = expected.map(|(number, _)| *number).collect();
        // Blocks that were not flushed may be named without need.
        let exact = |list: &[u64]| list.iter().copied().filter(|number| *number <= flushed).collect::<Vec<_>>();
        assert_eq!(exact(&found), exact(&expected), "{conditions:?}");
        assert!(expected.iter().all(|number| found.contains(number)), "{conditions:?}: {found:?}, {expected:?}");
    };
    compare(&[]);
    for (index, key) in keys.iter().enumerate() {
        compare(&[vec![*key]]);
        let other = keys[(index * 7 + 3) % keys.len()];
        compare(&[vec![*key, other]]);
        compare(&[vec![*key], vec![other]]);
    }
    for (number, receipts) in blocks.iter().take_while(|(number, _)| *number <= flushed) {
        assert!(store.has_log_entries(*number, receipts).unwrap(), "block {number}");
        assert_ne!(store.has_log_entries(head + 1, receipts).unwrap(), has(receipts, &LogKey::Any), "block {number} elsewhere");
    }
}

fn empty_receipt() -> Receipt {
    Receipt { tx_type: 0, success: false, cumulative_gas_used: 0, logs: Vec::new(), deposit_nonce: Some(0), l1_fee: 0 }
}
