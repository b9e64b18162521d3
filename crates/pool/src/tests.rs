//! Unit tests of the pool, and a property test against a model that knows nothing of indices.

use super::*;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Bytes, TxKind, address};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use oceanid_chain::TransactionSource;
use oceanid_primitives::TxDeposit;
use proptest::prelude::*;
use std::collections::HashMap;

const CHAIN_ID: u64 = 4_242;
const GWEI: u128 = 1_000_000_000;
const TO: Address = address!("00000000000000000000000000000000000000aa");

/// A state the tests can change.
#[derive(Default)]
struct FakeState(Mutex<HashMap<Address, PoolAccount>>);

impl FakeState {
    fn edit(&self, address: Address, change: impl FnOnce(&mut PoolAccount)) {
        change(self.0.lock().entry(address).or_default());
    }
}

impl PoolState for FakeState {
    fn account(&self, address: Address) -> Result<PoolAccount, String> {
        Ok(self.0.lock().get(&address).copied().unwrap_or_default())
    }

    fn data_fee(&self, _: &TxEnvelope) -> Result<U256, String> {
        Ok(U256::from(7))
    }

    fn next_base_fee(&self) -> Result<u64, String> {
        Ok(GWEI as u64)
    }
}

struct Fixture {
    state: Arc<FakeState>,
    pool: Pool,
    keys: Vec<PrivateKeySigner>,
}

fn fixture(change: impl FnOnce(&mut PoolConfig)) -> Fixture {
    let mut config = PoolConfig::new(PoolRules::Rollup, CHAIN_ID, 30_000_000, GWEI);
    change(&mut config);
    let keys: Vec<_> =
        (1..=4u8).map(|byte| PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).expect("a valid key")).collect();
    let state = Arc::new(FakeState::default());
    for key in &keys {
        state.edit(key.address(), |account| account.balance = U256::from(10u128.pow(18)));
    }
    Fixture { pool: Pool::new(config, state.clone()), state, keys }
}

fn transfer(nonce: u64, cap: u128, tip: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: cap,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(TO),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

fn sign<T: SignableTransaction<alloy_primitives::Signature>>(key: &PrivateKeySigner, tx: T) -> alloy_consensus::Signed<T> {
    let signature = key.sign_hash_sync(&tx.signature_hash()).expect("a local key signs");
    tx.into_signed(signature)
}

impl Fixture {
    fn add(&self, key: usize, tx: TxEip1559) -> Result<B256, PoolError> {
        self.pool.add(TxEnvelope::Eip1559(sign(&self.keys[key], tx)), Origin::Local)
    }

    /// Nonces taken by a builder, as `(key, nonce)`.
    fn built(&self) -> Vec<(usize, u64)> {
        let mut best = self.pool.best();
        std::iter::from_fn(|| best.next(30_000_000, 1 << 20))
            .map(|(tx, sender)| {
                let key = self.keys.iter().position(|key| key.address() == sender).expect("one of ours");
                (key, alloy_consensus::Transaction::nonce(&*tx))
            })
            .collect()
    }
}

#[test]
fn refusals_name_the_field_and_the_limit() {
    let f = fixture(|_| {});
    let base = transfer(0, 2 * GWEI, GWEI);
    let cases = [
        (TxEip1559 { chain_id: 1, ..base.clone() }, PoolError::ChainId { have: 1, want: CHAIN_ID }),
        (TxEip1559 { gas_limit: 20_999, ..base.clone() }, PoolError::IntrinsicGas { gas: 20_999, minimum: 21_000 }),
        (TxEip1559 { gas_limit: 30_000_001, ..base.clone() }, PoolError::GasLimit { gas: 30_000_001, limit: 30_000_000 }),
        (
            TxEip1559 { max_fee_per_gas: GWEI - 1, max_priority_fee_per_gas: 0, ..base.clone() },
            PoolError::FeeTooLow { cap: GWEI - 1, minimum: GWEI },
        ),
        (
            TxEip1559 { max_priority_fee_per_gas: 3 * GWEI, ..base.clone() },
            PoolError::TipAboveCap { tip: 3 * GWEI, cap: 2 * GWEI },
        ),
        (TxEip1559 { nonce: 1_024, ..base.clone() }, PoolError::NonceTooHigh { nonce: 1_024, next: 0, window: 1_024 }),
        (
            TxEip1559 { value: U256::from(10u128.pow(18)), ..base.clone() },
            PoolError::InsufficientFunds {
                balance: U256::from(10u128.pow(18)),
                cost: U256::from(10u128.pow(18) + 21_000 * 2 * GWEI + 7),
                queued: U256::ZERO,
            },
        ),
        (
            TxEip1559 { to: TxKind::Create, input: vec![0; 49_153].into(), gas_limit: 10_000_000, ..base.clone() },
            PoolError::InitCode { size: 49_153, limit: 49_152 },
        ),
    ];
    for (tx, refusal) in cases {
        assert_eq!(f.add(0, tx), Err(refusal));
    }
    let large = TxEip1559 { input: Bytes::from(vec![0; MAX_TRANSACTION_BYTES]), gas_limit: 10_000_000, ..base.clone() };
    assert!(matches!(f.add(0, large), Err(PoolError::Oversized { limit: MAX_TRANSACTION_BYTES, .. })));
    f.state.edit(f.keys[0].address(), |account| account.nonce = 5);
    assert_eq!(f.add(0, base.clone()), Err(PoolError::NonceTooLow { nonce: 0, next: 5 }));
    f.state.edit(f.keys[1].address(), |account| account.has_code = true);
    assert_eq!(f.add(1, base), Err(PoolError::SenderHasCode(f.keys[1].address())));
    assert_eq!(f.pool.status(), PoolStatus::default());
}

#[test]
fn types_that_do_not_belong_are_refused_by_name() {
    let f = fixture(|_| {});
    let blob = TxEip4844 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: GWEI,
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        max_fee_per_blob_gas: 1,
        ..TxEip4844::default()
    };
    let blob = TxEnvelope::Eip4844(sign(&f.keys[0], blob));
    let refused = f.pool.add(blob.clone(), Origin::Local);
    assert_eq!(refused, Err(PoolError::BlobOnLayer2));
    assert!(refused.unwrap_err().to_string().contains("type 3"));
    let raw = alloy_eips::eip2718::Encodable2718::encoded_2718(&blob);
    assert_eq!(f.pool.add_raw(&raw, Origin::Local), Err(PoolError::BlobOnLayer2));

    let deposit = TxEnvelope::from(TxDeposit::default());
    assert_eq!(f.pool.add(deposit.clone(), Origin::Remote), Err(PoolError::Deposit));
    let raw = alloy_eips::eip2718::Encodable2718::encoded_2718(&deposit);
    assert_eq!(f.pool.add_raw(&raw, Origin::Local), Err(PoolError::Deposit));

    let delegation = TxEip7702 { chain_id: CHAIN_ID, gas_limit: 100_000, max_fee_per_gas: GWEI, ..TxEip7702::default() };
    let delegation = TxEnvelope::Eip7702(sign(&f.keys[0], delegation));
    assert_eq!(f.pool.add(delegation, Origin::Local), Err(PoolError::NoAuthorizations));

    let unprotected = TxLegacy { gas_limit: 21_000, gas_price: GWEI, to: TxKind::Call(TO), ..TxLegacy::default() };
    assert!(f.pool.add(TxEnvelope::Legacy(sign(&f.keys[0], unprotected)), Origin::Local).is_ok());
}

/// A transaction of `key` that delegates the code of `authorities`.
fn delegation(f: &Fixture, key: usize, nonce: u64, cap: u128, authorities: &[usize]) -> TxEnvelope {
    let authorize = |key: &usize| {
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: TO, nonce: 0 };
        let signature = f.keys[*key].sign_hash_sync(&authorization.signature_hash()).expect("a local key signs");
        authorization.into_signed(signature)
    };
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: cap,
        to: TO,
        authorization_list: authorities.iter().map(authorize).collect(),
        ..TxEip7702::default()
    };
    TxEnvelope::Eip7702(sign(&f.keys[key], tx))
}

/// Whoever has a delegated account can empty it from outside, and with it all that its sender has queued.
#[test]
fn a_delegated_sender_has_one_transaction() {
    let f = fixture(|_| {});
    let sender = f.keys[0].address();
    f.state.edit(sender, |account| (account.delegated, account.nonce) = (true, 3));
    let refusal = PoolError::DelegatedLimit { sender, next: 3 };
    assert_eq!(f.add(0, transfer(4, 2 * GWEI, 0)), Err(refusal.clone()), "behind a gap it would keep the place for ever");
    f.add(0, transfer(3, 2 * GWEI, 0)).unwrap();
    assert_eq!(f.add(0, transfer(4, 2 * GWEI, 0)), Err(refusal.clone()));
    assert!(refusal.to_string().starts_with("in-flight transaction limit reached for delegated accounts"));
    f.add(0, transfer(3, 3 * GWEI, 0)).expect("a replacement is no second one");
    // The first is in a block that the pool has not been told of.
    f.state.edit(sender, |account| account.nonce = 4);
    f.add(0, transfer(4, 2 * GWEI, 0)).unwrap();
    f.pool.inner.lock().queues.assert_consistent();
    assert_eq!(f.pool.status().pending, 1);
}

#[test]
fn a_pending_delegation_counts_as_one() {
    let f = fixture(|_| {});
    let (first, second) = (f.keys[0].address(), f.keys[1].address());
    for nonce in 0..2 {
        f.add(1, transfer(nonce, 2 * GWEI, 0)).unwrap();
    }
    let refusal = PoolError::AuthorityReserved { authority: second, count: 2 };
    assert_eq!(f.pool.add(delegation(&f, 0, 0, 2 * GWEI, &[1]), Origin::Local), Err(refusal));

    // Authorities with one transaction or none, the sender's own among them.
    f.add(2, transfer(0, 2 * GWEI, 0)).unwrap();
    f.pool.add(delegation(&f, 0, 0, 2 * GWEI, &[0, 2, 3, 3]), Origin::Local).unwrap();
    assert_eq!(f.add(0, transfer(1, 2 * GWEI, 0)), Err(PoolError::DelegatedLimit { sender: first, next: 0 }));
    assert_eq!(f.add(2, transfer(1, 2 * GWEI, 0)), Err(PoolError::DelegatedLimit { sender: f.keys[2].address(), next: 0 }));
    f.add(3, transfer(0, 2 * GWEI, 0)).unwrap();
    assert_eq!(f.add(3, transfer(1, 2 * GWEI, 0)), Err(PoolError::DelegatedLimit { sender: f.keys[3].address(), next: 0 }));
    f.pool.inner.lock().queues.assert_consistent();

    // Replaced by one that delegates nothing, everybody is free again.
    f.add(0, transfer(0, 3 * GWEI, GWEI)).unwrap();
    for key in [0, 2, 3] {
        f.add(key, transfer(1, 2 * GWEI, 0)).unwrap();
    }
    // A sender with two of its own cannot delegate by the second.
    let own = delegation(&f, 0, 1, 4 * GWEI, &[0]);
    assert_eq!(f.pool.add(own, Origin::Local), Err(PoolError::DelegatedLimit { sender: first, next: 0 }));
    f.pool.inner.lock().queues.assert_consistent();
}

/// A block delegates an account that has more here, by a transaction that this pool never saw.
#[test]
fn what_a_delegated_sender_has_too_much_leaves_with_the_block() {
    let f = fixture(|_| {});
    for nonce in 0..5 {
        f.add(1, transfer(nonce, 2 * GWEI, 0)).unwrap();
    }
    f.state.edit(f.keys[1].address(), |account| account.delegated = true);
    let unseen = delegation(&f, 0, 0, 2 * GWEI, &[1]);
    f.state.edit(f.keys[0].address(), |account| account.nonce = 1);
    f.pool.on_block(10, [(&unseen, f.keys[0].address())].into_iter());
    assert_eq!(f.built(), [(1, 0)]);
    f.pool.inner.lock().queues.assert_consistent();
}

#[test]
fn hostile_bytes_are_refused() {
    let f = fixture(|_| {});
    for raw in [&[][..], &[0x03], &[0x02, 0xc0], &[0x7e, 0xc0], &[0xff; 40], &[0xf8, 0xff, 0xff]] {
        assert!(matches!(f.pool.add_raw(raw, Origin::Local), Err(PoolError::Decode(_))), "{raw:?}");
    }
    let mut raw = alloy_eips::eip2718::Encodable2718::encoded_2718(&TxEnvelope::Eip1559(sign(&f.keys[0], transfer(0, GWEI, 0))));
    raw.push(0);
    assert_eq!(f.pool.add_raw(&raw, Origin::Local), Err(PoolError::Decode("1 bytes after the transaction".into())));
    let huge = vec![2u8; MAX_TRANSACTION_BYTES + 1];
    assert!(matches!(f.pool.add_raw(&huge, Origin::Local), Err(PoolError::Oversized { .. })));
}

#[test]
fn builder_takes_the_best_tip_in_order_of_nonce() {
    let f = fixture(|_| {});
    for (key, nonce, tip) in [(0, 0, 1), (0, 1, 9), (1, 0, 5), (1, 2, 9), (2, 0, 5), (3, 0, 7)] {
        f.add(key, transfer(nonce, 20 * GWEI, tip * GWEI)).unwrap();
    }
    // Key 1 has a gap before nonce 2; keys 1 and 2 tie and go by arrival.
    assert_eq!(f.built(), [(3, 0), (1, 0), (2, 0), (0, 0), (0, 1)]);
    assert_eq!(f.pool.status().queued, 1);
    f.add(1, transfer(1, 20 * GWEI, GWEI)).unwrap();
    assert_eq!(f.pool.next_nonce(f.keys[1].address()), Ok(3));
    assert_eq!(f.built(), [(3, 0), (1, 0), (2, 0), (0, 0), (0, 1), (1, 1), (1, 2)]);
}

#[test]
fn builder_skips_what_does_not_fit_or_does_not_pay() {
    let f = fixture(|config| config.min_fee = 0);
    f.add(0, transfer(0, GWEI / 2, 0)).unwrap();
    f.add(1, TxEip1559 { gas_limit: 100_000, ..transfer(0, 3 * GWEI, 2 * GWEI) }).unwrap();
    f.add(1, transfer(1, 3 * GWEI, 2 * GWEI)).unwrap();
    f.add(2, transfer(0, 2 * GWEI, GWEI)).unwrap();
    let mut best = f.pool.best();
    assert_eq!(best.next(50_000, 1 << 20).expect("key 2 fits").1, f.keys[2].address());
    assert!(best.next(50_000, 1 << 20).is_none(), "key 1 is closed: its first transaction does not fit");
    assert!(f.pool.best().next(20_999, 1 << 20).is_none());
    assert!(f.pool.best().next(1_000_000, 50).is_none());
    assert_eq!(f.built(), [(1, 0), (1, 1), (2, 0)]);
}

#[test]
fn refused_by_builders_once_too_often() {
    let f = fixture(|_| {});
    let hash = f.add(0, transfer(0, 2 * GWEI, GWEI)).unwrap();
    f.add(0, transfer(1, 2 * GWEI, GWEI)).unwrap();
    for _ in 0..15 {
        let mut best = f.pool.best();
        best.next(1 << 30, 1 << 20).unwrap();
        best.reject(hash, "balance moved");
        assert!(best.next(1 << 30, 1 << 20).is_none(), "the sender is closed for this block");
    }
    assert!(f.pool.get(&hash).is_some());
    let mut best = f.pool.best();
    best.next(1 << 30, 1 << 20).unwrap();
    best.reject(hash, "balance moved");
    assert!(f.pool.get(&hash).is_none());
    assert_eq!(f.pool.status(), PoolStatus { pending: 0, queued: 1, bytes: f.pool.status().bytes });
}

#[test]
fn a_refusal_is_settled_by_the_next_commit() {
    let f = fixture(|_| {});
    let hash = f.add(0, transfer(0, 2 * GWEI, GWEI)).unwrap();
    let mut best = f.pool.best();
    best.next(1 << 30, 1 << 20).unwrap();
    best.reject(hash, "insufficient funds");
    f.pool.on_block(1, std::iter::empty());
    assert!(f.pool.get(&hash).is_some(), "the committed balance covers it");
    best = f.pool.best();
    best.next(1 << 30, 1 << 20).unwrap();
    best.reject(hash, "insufficient funds");
    f.state.edit(f.keys[0].address(), |account| account.balance = U256::from(1));
    f.pool.on_block(2, std::iter::empty());
    assert!(f.pool.get(&hash).is_none());
}

#[test]
fn replacement_needs_both_fees() {
    let f = fixture(|_| {});
    let old = f.add(0, transfer(0, 10 * GWEI, 5 * GWEI)).unwrap();
    let refusal = PoolError::ReplacementUnderpriced { fee: 11 * GWEI, tip: 11 * GWEI / 2, percent: 10 };
    assert_eq!(f.add(0, transfer(0, 11 * GWEI, 5 * GWEI)), Err(refusal.clone()));
    assert_eq!(f.add(0, transfer(0, 11 * GWEI - 1, 6 * GWEI)), Err(refusal));
    assert_eq!(f.add(0, transfer(0, 10 * GWEI, 5 * GWEI)), Err(PoolError::AlreadyKnown(old)));
    let new = f.add(0, transfer(0, 11 * GWEI, 11 * GWEI / 2)).unwrap();
    assert!(f.pool.get(&old).is_none() && f.pool.get(&new).is_some());
    assert_eq!(f.pool.status().pending, 1);
}

#[test]
fn limits_of_one_sender() {
    let f = fixture(|config| {
        config.max_per_sender = 3;
        config.max_sender_bytes = 400;
    });
    for nonce in 0..3 {
        f.add(0, transfer(nonce, 2 * GWEI, GWEI)).unwrap();
    }
    assert_eq!(f.add(0, transfer(3, 2 * GWEI, GWEI)), Err(PoolError::NonceTooHigh { nonce: 3, next: 0, window: 3 }));
    let long = TxEip1559 { input: vec![0; 200].into(), gas_limit: 50_000, ..transfer(0, 3 * GWEI, 2 * GWEI) };
    let sender = f.keys[0].address();
    assert_eq!(f.add(0, long), Err(PoolError::SenderLimit { sender, limit: 400, unit: "bytes" }));
}

#[test]
fn cumulative_cost_counts() {
    let f = fixture(|_| {});
    let half = TxEip1559 { value: U256::from(6 * 10u128.pow(17)), ..transfer(0, 2 * GWEI, GWEI) };
    f.add(0, half.clone()).unwrap();
    let second = f.add(0, TxEip1559 { nonce: 1, ..half });
    assert!(matches!(second, Err(PoolError::InsufficientFunds { queued, .. }) if queued > U256::ZERO));
}

#[test]
fn the_cheapest_goes_first_and_never_opens_a_gap() {
    let f = fixture(|config| config.max_transactions = 4);
    f.add(0, transfer(0, 5 * GWEI, GWEI)).unwrap();
    f.add(0, transfer(1, 50 * GWEI, GWEI)).unwrap();
    f.add(1, transfer(0, 9 * GWEI, GWEI)).unwrap();
    let gapped = f.add(2, transfer(7, 90 * GWEI, GWEI)).unwrap();
    // A queued transaction goes before any pending one, whatever it pays.
    f.add(3, transfer(0, 6 * GWEI, GWEI)).unwrap();
    assert!(f.pool.get(&gapped).is_none());
    // Key 0's cheap head makes its whole queue cheap; the tail goes.
    f.add(2, transfer(0, 7 * GWEI, GWEI)).unwrap();
    assert_eq!(f.pool.next_nonce(f.keys[0].address()), Ok(1));
    // Nothing is cheaper than this one.
    let refused = f.add(3, transfer(1, 4 * GWEI, GWEI));
    assert_eq!(refused, Err(PoolError::Full { transactions: 4, bytes: PoolConfig::MAX_BYTES, cap: 4 * GWEI }));
    assert_eq!(f.pool.status().pending, 4);
    f.pool.inner.lock().queues.assert_consistent();
}

#[test]
fn the_pool_is_bounded_in_bytes_too() {
    let f = fixture(|config| config.max_bytes = 1_000);
    for key in 0..4 {
        let input = Bytes::from(vec![1; 300]);
        let cap = (10 - key as u128) * GWEI;
        let _ = f.add(key, TxEip1559 { input, gas_limit: 60_000, ..transfer(0, cap, GWEI) });
        assert!(f.pool.status().bytes <= 1_000);
    }
    assert_eq!(f.built(), [(0, 0), (1, 0)], "two fit, the dearest");
}

#[test]
fn commits_advance_queues() {
    let f = fixture(|_| {});
    for nonce in 0..4 {
        f.add(0, transfer(nonce, 2 * GWEI, GWEI)).unwrap();
    }
    // The block took nonce 0 from the pool and a nonce 1 the pool has never seen.
    let first = f.pool.content()[&f.keys[0].address()].pending[0].envelope().clone();
    let foreign = TxEnvelope::Eip1559(sign(&f.keys[0], transfer(1, 3 * GWEI, GWEI)));
    f.state.edit(f.keys[0].address(), |account| account.nonce = 2);
    f.pool.on_block(100, [(&*first, f.keys[0].address()), (&foreign, f.keys[0].address())].into_iter());
    assert_eq!(f.built(), [(0, 2), (0, 3)]);
    f.pool.inner.lock().queues.assert_consistent();
}

#[test]
fn queued_transactions_expire_by_block_time() {
    let f = fixture(|config| config.queued_lifetime = 100);
    f.pool.on_block(1_000, std::iter::empty());
    f.add(0, transfer(1, 2 * GWEI, GWEI)).unwrap();
    f.add(1, transfer(0, 2 * GWEI, GWEI)).unwrap();
    f.pool.on_block(1_100, std::iter::empty());
    assert_eq!(f.pool.status().queued, 1);
    f.pool.on_block(1_161, std::iter::empty());
    assert_eq!(f.pool.status(), PoolStatus { pending: 1, queued: 0, bytes: f.pool.status().bytes });
}

#[test]
fn subscribers_hear_of_accepted_transactions_only() {
    let f = fixture(|_| {});
    let mut accepted = f.pool.subscribe();
    let hash = f.add(0, transfer(0, 2 * GWEI, GWEI)).unwrap();
    f.add(0, transfer(0, 2 * GWEI, GWEI)).unwrap_err();
    let heard = accepted.try_recv().unwrap();
    assert_eq!((*heard.hash(), heard.origin(), heard.sender()), (hash, Origin::Local, f.keys[0].address()));
    assert!(accepted.try_recv().is_err());
}

#[test]
fn a_builder_on_an_uncommitted_parent_passes_over_what_it_holds() {
    use alloy_genesis::GenesisAccount;
    use oceanid_chain::{EthGenesis, EthLedger, MineRequest};
    let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(1)).expect("a valid key");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rich = GenesisAccount::default().with_balance(U256::from(10u128.pow(18)));
    let genesis = EthGenesis {
        chain_id: CHAIN_ID,
        timestamp: 0,
        gas_limit: 30_000_000,
        base_fee: GWEI as u64,
        alloc: BTreeMap::from([(key.address(), rich)]),
    };
    let ledger = EthLedger::open(dir.path(), &genesis, EthLedger::default_config()).expect("a valid genesis");
    let config = PoolConfig::new(PoolRules::Ethereum, CHAIN_ID, 30_000_000, 1);
    let pool = Pool::new(config, Arc::new(StoreState::ethereum(ledger.store().clone()))).with_senders(ledger.senders().clone());
    let add = |nonce| pool.add(TxEnvelope::Eip1559(sign(&key, transfer(nonce, 2 * GWEI, 1))), Origin::Local).unwrap();
    let hashes = [add(0), add(1), add(2)];
    assert_eq!(ledger.senders().get(&hashes[0]), Some(key.address()), "the ledger need not recover it again");

    // A block takes two of them; the pool is not told, as if the block were not final.
    let mut two: std::collections::VecDeque<_> =
        hashes[..2].iter().map(|hash| (pool.get(hash).unwrap().envelope().clone(), key.address())).collect();
    ledger.mine(MineRequest { max_bytes: 1 << 20, ..MineRequest::default() }, &mut two).unwrap();
    assert_eq!(pool.status().pending, 3);
    let mut best = pool.best_on(ledger.view(), GWEI as u64);
    assert!(!best.is_empty());
    assert_eq!(best.next(1 << 30, 1 << 20).map(|(tx, _)| *tx.hash()), Some(hashes[2]));
    assert!(best.is_empty());
    // And when the block becomes final, they go.
    let block = ledger.store().committed(1).unwrap().expect("just mined");
    pool.on_committed(&block);
    assert_eq!(pool.status().pending, 1);
    assert_eq!(pool.best().next(1 << 30, 1 << 20).map(|(tx, _)| *tx.hash()), Some(hashes[2]));
}

#[test]
fn what_arrived_before_the_first_block_is_not_old() {
    let f = fixture(|config| config.queued_lifetime = 100);
    f.add(0, transfer(1, 2 * GWEI, GWEI)).unwrap();
    f.pool.on_block(1_000_000, std::iter::empty());
    assert_eq!(f.pool.status().queued, 1);
    f.pool.on_block(1_000_200, std::iter::empty());
    assert_eq!(f.pool.status().queued, 0);
}

#[test]
fn many_at_once_are_answered_in_order_and_told_in_order() {
    let f = fixture(|_| {});
    let mut accepted = f.pool.subscribe();
    let encode = |nonce| TxEnvelope::Eip1559(sign(&f.keys[0], transfer(nonce, 2 * GWEI, GWEI))).encoded_2718();
    let mut raw: Vec<Vec<u8>> = (0..100).map(encode).collect();
    raw.insert(50, vec![0xff; 9]);
    let outcomes = f.pool.add_raw_all(&raw, Origin::Remote);
    assert!(matches!(outcomes[50], Err(PoolError::Decode(_))));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 100);
    assert_eq!(f.pool.status().pending, 100);
    let told: Vec<u64> = std::iter::from_fn(|| accepted.try_recv().ok()).map(|transaction| transaction.nonce()).collect();
    assert_eq!(told, (0..100).collect::<Vec<_>>());
    assert_eq!(f.pool.add_raw_all(&raw[..1], Origin::Remote), [Err(PoolError::AlreadyKnown(*outcomes[0].as_ref().unwrap()))]);
}

/// The fixture's pool with a journal in `folder`, over the same state.
fn journaled(f: Fixture, folder: &Path) -> (Fixture, Restored) {
    let pool = Pool::new(f.pool.config().clone(), f.state.clone());
    let (pool, restored) = pool.with_journal(&folder.join("pool.journal")).expect("a journal");
    (Fixture { pool, ..f }, restored)
}

#[test]
fn local_transactions_survive_and_remote_ones_do_not() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (f, restored) = journaled(fixture(|_| {}), folder.path());
    assert_eq!(restored, Restored::default());
    for nonce in [0, 1, 3] {
        f.add(0, transfer(nonce, 2 * GWEI, GWEI)).unwrap();
    }
    let mined = f.add(1, transfer(0, 2 * GWEI, GWEI)).unwrap();
    f.add(1, transfer(0, 3 * GWEI, 2 * GWEI)).unwrap();
    f.pool.add(TxEnvelope::Eip1559(sign(&f.keys[2], transfer(0, GWEI, 0))), Origin::Remote).unwrap();

    // The process ends here, without a word. Meanwhile the first transaction was mined by others.
    f.state.edit(f.keys[0].address(), |account| account.nonce = 1);
    let (f, restored) = journaled(f, folder.path());
    assert_eq!(restored, Restored { restored: 3, dropped: 2, ..Restored::default() });
    assert!(f.pool.get(&mined).is_none(), "replaced before the restart, and after it too");
    assert_eq!(f.pool.status(), PoolStatus { pending: 2, queued: 1, bytes: f.pool.status().bytes });
    assert!(f.pool.local().iter().all(|transaction| transaction.origin() == Origin::Local));
    let (f, restored) = journaled(f, folder.path());
    assert_eq!((restored.restored, restored.dropped), (3, 0), "what was dropped is not in the file any more");
    assert_eq!(f.built(), [(1, 0), (0, 1)]);
}

#[test]
fn a_damaged_journal_loses_only_what_is_damaged_and_is_kept() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("pool.journal");
    let (f, _) = journaled(fixture(|_| {}), folder.path());
    for key in 0..3 {
        f.add(key, transfer(0, 2 * GWEI, GWEI)).unwrap();
    }
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x11;
    std::fs::write(&path, &bytes).expect("written");
    let (f, restored) = journaled(f, folder.path());
    let kept = folder.path().join("pool.damaged");
    assert_eq!(restored, Restored { restored: 2, dropped: 0, damaged: 1, kept_at: Some(kept.clone()) });
    assert_eq!(std::fs::read(kept).expect("kept"), bytes);
    assert_eq!(f.built(), [(0, 0), (2, 0)]);
    let (_, restored) = journaled(f, folder.path());
    assert_eq!(restored, Restored { restored: 2, ..Restored::default() }, "the new file is whole");
}

#[test]
fn the_journal_stays_short_under_load() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("pool.journal");
    let (f, _) = journaled(fixture(|_| {}), folder.path());
    let size = || std::fs::metadata(&path).expect("a file").len();
    let mut largest = 0;
    for nonce in 0..100 {
        let input = Bytes::from(vec![1; 100_000]);
        let hash = f.add(0, TxEip1559 { input, gas_limit: 6_000_000, ..transfer(nonce, 2 * GWEI, GWEI) }).unwrap();
        let pooled = f.pool.get(&hash).unwrap();
        f.state.edit(f.keys[0].address(), |account| account.nonce = nonce + 1);
        f.pool.on_block(nonce, std::iter::once((&**pooled.envelope(), pooled.sender())));
        f.pool.maintain_journal().expect("kept");
        largest = largest.max(size());
    }
    assert!(largest < 5 << 20, "20 MB were written, the file was never longer than {largest} bytes");
    f.add(1, transfer(0, 2 * GWEI, GWEI)).unwrap();
    let (f, restored) = journaled(f, folder.path());
    assert_eq!(restored.restored, 1);
    assert_eq!(f.built(), [(1, 0)]);
    assert!(size() < 1_000);
}

/// Keeps hashes only.
#[derive(Default)]
struct FakeBlobs(Mutex<BTreeSet<B256>>);

impl BlobStore for FakeBlobs {
    fn accept(&self, transaction: &alloy_consensus::Signed<TxEip4844>, _: BlobTransactionSidecarVariant) -> Result<(), String> {
        self.0.lock().insert(*transaction.hash());
        Ok(())
    }

    fn discard(&self, transaction: &B256) {
        self.0.lock().remove(transaction);
    }
}

#[test]
fn sidecars_follow_their_transactions() {
    use alloy_eips::eip4844::{Blob, BlobTransactionSidecar, Bytes48, kzg_to_versioned_hash};
    let mut f = fixture(|config| config.rules = PoolRules::Ethereum);
    let blobs = Arc::new(FakeBlobs::default());
    f.pool = f.pool.with_blobs(blobs.clone());
    let commitment = Bytes48::repeat_byte(3);
    let sidecar = BlobTransactionSidecar::new(vec![Blob::ZERO], vec![commitment], vec![Bytes48::ZERO]);
    let tx = |nonce, hash| TxEip4844 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: GWEI,
        max_fee_per_blob_gas: 1,
        blob_versioned_hashes: vec![hash],
        ..TxEip4844::default()
    };
    let right = kzg_to_versioned_hash(commitment.as_slice());
    let send = |tx: TxEip4844, sidecar: Option<BlobTransactionSidecar>| {
        let envelope = TxEnvelope::Eip4844(sign(&f.keys[0], tx));
        f.pool.add_with_sidecar(envelope, sidecar.map(BlobTransactionSidecarVariant::Eip4844), Origin::Local)
    };
    let other = B256::from([1; 32]);
    assert!(matches!(send(tx(0, right), None), Err(PoolError::Sidecar(_))));
    assert!(matches!(send(tx(0, other), Some(sidecar.clone())), Err(PoolError::Sidecar(_))));
    assert!(matches!(send(tx(0, B256::ZERO), Some(sidecar.clone())), Err(PoolError::Sidecar(_))));
    assert!(blobs.0.lock().is_empty());
    let hash = send(tx(0, right), Some(sidecar.clone())).unwrap();
    assert!(matches!(send(tx(9_999, right), Some(sidecar.clone())), Err(PoolError::NonceTooHigh { .. })));
    assert_eq!(blobs.0.lock().iter().collect::<Vec<_>>(), [&hash], "a refused transaction leaves no sidecar behind");
    // The network form decodes to the same transaction and sidecar.
    let signed = sign(&f.keys[0], tx(1, right));
    let (bare, signature, hash) = signed.into_parts();
    let network = alloy_consensus::TxEip4844WithSidecar::from_tx_and_sidecar(bare, sidecar);
    let raw = alloy_eips::eip2718::Encodable2718::encoded_2718(&alloy_consensus::Signed::new_unchecked(network, signature, hash));
    assert_eq!(f.pool.add_raw(&raw, Origin::Local), Ok(hash));
    assert_eq!(blobs.0.lock().len(), 2);
    // A block takes the first: its sidecar is kept. The second is dropped: its sidecar goes.
    let first = f.pool.content()[&f.keys[0].address()].pending[0].envelope().clone();
    f.state.edit(f.keys[0].address(), |account| *account = PoolAccount { nonce: 1, ..PoolAccount::default() });
    f.pool.on_block(1, [(&*first, f.keys[0].address())].into_iter());
    assert_eq!(blobs.0.lock().iter().collect::<Vec<_>>(), [first.hash()]);
}

/// What the property test does to the pool.
#[derive(Clone, Debug)]
enum Step {
    Add { key: usize, nonce: u64, cap: u64 },
    Commit { key: usize, count: u64 },
    Reject { skip: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4usize, 0..8u64, 1..30u64).prop_map(|(key, nonce, cap)| Step::Add { key, nonce, cap }),
        2 => (0..4usize, 1..3u64).prop_map(|(key, count)| Step::Commit { key, count }),
        1 => (0..4usize).prop_map(|skip| Step::Reject { skip }),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    // A fifth of what is usual, and of what PROPTEST_CASES asks for.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 5, ..ProptestConfig::default() })]

    /// The model is a plain map of what must be there: `(key, nonce) -> cap`. Everything the pool says is checked against it.
    #[test]
    fn agrees_with_a_plain_map(steps in steps()) {
        const LIMIT: usize = 10;
        let f = fixture(|config| config.max_transactions = LIMIT);
        let mut model: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        let mut nonces = [0u64; 4];
        for step in steps {
            match step {
                Step::Add { key, nonce, cap } => {
                    let before = model.clone();
                    let outcome = f.add(key, transfer(nonce, u128::from(cap) * GWEI, 0));
                    let old = before.get(&(key, nonce));
                    let replaces = old.is_none_or(|old| cap * 10 >= old * 11);
                    match &outcome {
                        Ok(_) => {
                            prop_assert!(nonce >= nonces[key] && replaces);
                            model.insert((key, nonce), cap);
                        }
                        Err(PoolError::NonceTooLow { .. }) => prop_assert!(nonce < nonces[key]),
                        Err(PoolError::AlreadyKnown(_)) => prop_assert_eq!(old, Some(&cap)),
                        Err(PoolError::ReplacementUnderpriced { .. }) => prop_assert!(!replaces),
                        Err(PoolError::Full { .. }) => prop_assert_eq!(before.len(), LIMIT),
                        Err(other) => prop_assert!(false, "unexpected refusal {other}"),
                    }
                    if model.len() > LIMIT {
                        // One had to go: the tail of a queue, and a queued one if there was any.
                        let content = contents(&f);
                        let gone: Vec<_> = model.keys().filter(|slot| !content.contains_key(slot)).copied().collect();
                        prop_assert_eq!(gone.len(), 1);
                        let (owner, nonce) = gone[0];
                        prop_assert!(!model.contains_key(&(owner, nonce + 1)) || is_queued(&model, &nonces, (owner, nonce)));
                        if model.keys().any(|slot| is_queued(&model, &nonces, *slot)) {
                            prop_assert!(is_queued(&model, &nonces, (owner, nonce)));
                        }
                        model.remove(&gone[0]);
                    }
                }
                Step::Commit { key, count } => {
                    let sender = f.keys[key].address();
                    let next = nonces[key] + count;
                    let taken: Vec<_> = (nonces[key]..next)
                        .map(|nonce| TxEnvelope::Eip1559(sign(&f.keys[key], transfer(nonce, 99 * GWEI, 0))))
                        .collect();
                    nonces[key] = next;
                    f.state.edit(sender, |account| account.nonce = next);
                    f.pool.on_block(1, taken.iter().map(|tx| (tx, sender)));
                    model.retain(|(owner, nonce), _| *owner != key || *nonce >= next);
                }
                Step::Reject { skip } => {
                    // One refusal changes nothing but this builder's view.
                    let mut best = f.pool.best();
                    for _ in 0..skip {
                        let _ = best.next(1 << 30, 1 << 20);
                    }
                    if let Some((tx, sender)) = best.next(1 << 30, 1 << 20) {
                        best.reject(*tx.hash(), "no");
                        while let Some((_, other)) = best.next(1 << 30, 1 << 20) {
                            prop_assert_ne!(other, sender);
                        }
                        // At most 60 steps, and a refused transaction may leave after sixteen.
                        let content = contents(&f);
                        model.retain(|slot, _| content.contains_key(slot));
                    }
                }
            }
            f.pool.inner.lock().queues.assert_consistent();
            prop_assert_eq!(&contents(&f), &model);
            let pending = model.keys().filter(|slot| !is_queued(&model, &nonces, **slot)).count();
            prop_assert_eq!(f.pool.status().pending, pending);

            let built = f.built();
            prop_assert_eq!(built.len(), pending, "every cap reaches the base fee");
            for (key, first) in nonces.iter().enumerate() {
                let own: Vec<u64> = built.iter().filter(|(owner, _)| *owner == key).map(|(_, nonce)| *nonce).collect();
                let expected: Vec<u64> = (*first..*first + own.len() as u64).collect();
                prop_assert_eq!(own, expected, "nonces in order, from the account's");
            }
            prop_assert_eq!(f.built(), built, "the same pool gives the same order");
        }
    }
}

fn contents(f: &Fixture) -> BTreeMap<(usize, u64), u64> {
    let mut all = BTreeMap::new();
    for (sender, content) in f.pool.content() {
        let key = f.keys.iter().position(|key| key.address() == sender).expect("one of ours");
        for transaction in content.pending.iter().chain(&content.queued) {
            let cap = alloy_consensus::Transaction::max_fee_per_gas(&**transaction.envelope()) / GWEI;
            all.insert((key, transaction.nonce()), cap as u64);
        }
    }
    all
}

fn is_queued(model: &BTreeMap<(usize, u64), u64>, nonces: &[u64; 4], (key, nonce): (usize, u64)) -> bool {
    (nonces[key]..nonce).any(|before| !model.contains_key(&(key, before)))
}
