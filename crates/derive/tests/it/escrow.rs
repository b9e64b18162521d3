//! What the Portal holds on L1 is what exists on Layer 2 and what is in flight between them, at every block of a random run.

use crate::l1::L1;
use crate::producer::Producer;
use crate::{Link, PATIENCE, POLL, settled};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use oceanid_contracts::l1::{OceanidToken, Portal, Rollup};
use oceanid_contracts::l2::L2ToL1MessagePasser;
use oceanid_primitives::predeploys::MESSAGE_PASSER;
use oceanid_primitives::{DaMode, HeaderExtension, L1View, SealedBlock};
use oceanid_settlement::SettledChain;
use oceanid_stf::StateReader;
use std::collections::BTreeSet;
use std::time::Instant;

/// Makes the run; printed by every failure.
const SEED: u64 = 20_261_122;
const STEPS: u32 = 36;

/// Numbers from a seed.
struct Dice(B256);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = keccak256(self.0);
        u64::from_be_bytes(self.0.0[..8].try_into().unwrap()) % limit
    }

    fn amount(&mut self) -> U256 {
        U256::from(1 + self.below(1_000_000_000_000_000_000))
    }

    fn account(&mut self) -> Address {
        Address::with_last_byte(0x40 + self.below(6) as u8)
    }
}

/// A withdrawal that waits to be paid. Its nonce is the message passer's, which the epoch ledger and the fee vault use too.
struct Pending {
    block: u64,
    value: U256,
}

struct Run {
    l1: L1,
    producer: Producer,
    link: Link,
    /// Everybody who ever had a balance.
    known: BTreeSet<Address>,
    pending: Vec<Pending>,
    /// L1 block and wei of each withdrawal that was paid.
    paid: Vec<(u64, U256)>,
}

impl Run {
    async fn start() -> Self {
        let l1 = L1::embedded().await;
        let producer = Producer::deploy(l1.http()).await;
        let link = Link::new(&l1, &producer.ledger).await;
        let spec = producer.ledger.spec().clone();
        let approve = OceanidToken::approveCall { spender: spec.l1.portal, value: U256::MAX };
        l1.send_as(1, spec.l1.token, approve.abi_encode()).await;
        let known = spec.alloc.keys().copied().collect();
        Self { l1, producer, link, known, pending: Vec::new(), paid: Vec::new() }
    }

    fn portal(&self) -> Address {
        self.producer.ledger.spec().l1.portal
    }

    async fn deposit(&self, to: Address, mint: U256, value: U256) {
        let call =
            Portal::depositERC20TransactionCall { to, mint, value, gasLimit: 100_000, isCreation: false, data: Bytes::new() };
        self.l1.send_as(1, self.portal(), call.abi_encode()).await;
    }

    /// Makes a block of these calls of the first account: recipient, wei, input.
    fn block(&mut self, calls: Vec<(Address, U256, Bytes)>) {
        let transactions = calls.into_iter().map(|(to, value, input)| self.producer.transaction(to, value, input)).collect();
        let block = self.producer.block(&self.link.watcher, transactions, true);
        for transaction in block.body() {
            use alloy_consensus::Transaction;
            self.known.extend(transaction.to());
            self.known.extend(transaction.as_deposit().map(|deposit| deposit.inner().from));
        }
    }

    /// A withdrawal to oneself, in the next block.
    fn withdrawal(&mut self, value: U256) -> (Address, U256, Bytes) {
        self.pending.push(Pending { block: self.producer.head() + 1, value });
        let target = self.producer.account();
        let call = L2ToL1MessagePasser::initiateWithdrawalCall { target, gasLimit: U256::ZERO, data: Bytes::new() };
        (MESSAGE_PASSER, value, call.abi_encode().into())
    }

    /// The withdrawal of a block, as its receipts tell it.
    fn passed(&self, block: u64) -> Portal::WithdrawalTransaction {
        let receipts = self.producer.ledger.store().receipts(block).unwrap().unwrap();
        let mut logs = receipts.iter().flat_map(|receipt| &receipt.logs);
        let message = logs.find_map(|log| L2ToL1MessagePasser::MessagePassed::decode_log(log).ok()).expect("one withdrawal");
        let L2ToL1MessagePasser::MessagePassed { nonce, sender, target, value, gasLimit, data, .. } = message.data;
        Portal::WithdrawalTransaction { nonce, sender, target, value, gasLimit, data }
    }

    /// Pays the oldest withdrawal on L1, waiting for an output that has it to be final.
    async fn pay(&mut self) {
        let Pending { block, value } = self.pending.remove(0);
        let withdrawal = self.passed(block);
        assert_eq!(withdrawal.value, value);
        let rollup = self.producer.ledger.spec().l1.rollup;
        let start = Instant::now();
        let (index, number) = loop {
            let head = self.l1.view(rollup, Rollup::finalizedHeadCall {}).await;
            if head.number >= block {
                break (head.index, head.number);
            }
            assert!(start.elapsed() < PATIENCE, "block {block} does not become final: {}", head.number);
            tokio::time::sleep(POLL).await;
        };
        let proven = SettledChain::block(&self.producer.ledger, number).unwrap();
        let header = proven.header();
        let storage_root = header.withdrawals_root.unwrap();
        let Portal::WithdrawalTransaction { nonce, sender, target, gasLimit, data, .. } = withdrawal.clone();
        let hash = keccak256((nonce, sender, target, value, gasLimit, data).abi_encode_params());
        let slot = U256::from_be_bytes(keccak256((hash, U256::ZERO).abi_encode()).0);
        let (_, proof) = self.producer.ledger.store().retained_proof(MESSAGE_PASSER, storage_root, &[slot]).unwrap().remove(0);
        let prove = Portal::proveWithdrawalTransactionCall {
            withdrawal: withdrawal.clone(),
            l2OutputIndex: index,
            outputRootProof: Portal::OutputRootProof {
                version: B256::ZERO,
                stateRoot: header.state_root,
                messagePasserStorageRoot: storage_root,
                latestBlockhash: proven.hash(),
            },
            withdrawalProof: proof.proof,
        };
        self.l1.send_as(2, self.portal(), prove.abi_encode()).await;
        let finalise = Portal::finalizeWithdrawalTransactionCall { withdrawal };
        let mined = self.l1.send_as(2, self.portal(), finalise.abi_encode()).await;
        self.paid.push((mined, value));
    }

    /// The invariant, after the newest block and at its origin.
    async fn check(&self) {
        let head: std::sync::Arc<SealedBlock> = self.producer.ledger.head();
        let origin = HeaderExtension::decode(&head.header().extra_data).unwrap().origin.number;
        let view = self.producer.ledger.view();
        let balance = |account: &Address| view.account(*account).unwrap().map_or(U256::ZERO, |account| account.balance);
        let withdrawn = balance(&MESSAGE_PASSER);
        let supply = self.known.iter().map(balance).fold(U256::ZERO, |sum, balance| sum + balance) - withdrawn;
        let spec = self.producer.ledger.spec();
        let held = OceanidToken::balanceOfCall { account: spec.l1.portal };
        let escrow = self.l1.view_at(spec.l1.token, held, origin).await;
        let paid = self.paid.iter().filter(|(at, _)| *at <= origin).map(|(_, value)| *value);
        let in_flight = withdrawn - paid.fold(U256::ZERO, |sum, value| sum + value);
        assert_eq!(escrow, supply + in_flight, "seed {SEED}, block {}, origin {origin}", head.number());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn escrow_is_supply_and_what_is_in_flight_at_every_block() {
    let mut run = Run::start().await;
    let (batcher, _task) = run.link.batcher(&run.producer, 0, DaMode::Calldata);
    run.check().await;
    let mut dice = Dice(B256::from(U256::from(SEED)));
    for _ in 0..STEPS {
        match dice.below(8) {
            0 => {
                let mint = dice.amount();
                // Not all that is minted is sent on; what is sent may be more than there is, which fails after the mint.
                let value = if dice.below(2) == 0 { mint } else { dice.amount() };
                let to = dice.account();
                run.deposit(to, mint, value).await;
            }
            1 if !run.pending.is_empty() => {
                settled(&batcher, run.producer.head()).await;
                run.pay().await;
            }
            _ => {
                let mut calls = Vec::new();
                for _ in 0..dice.below(3) {
                    calls.push((dice.account(), dice.amount(), Bytes::new()));
                }
                if dice.below(3) == 0 {
                    let value = dice.amount();
                    calls.push(run.withdrawal(value));
                }
                run.block(calls);
                run.check().await;
            }
        }
    }
    // Whatever the dice gave: a deposit has arrived, a withdrawal was paid, and both are behind an origin.
    let (account, value) = (dice.account(), dice.amount());
    run.deposit(account, value, value).await;
    run.producer.wait_for_deposit(&run.link.watcher).await;
    let value = dice.amount();
    let withdrawal = run.withdrawal(value);
    run.block(vec![withdrawal]);
    run.check().await;
    settled(&batcher, run.producer.head()).await;
    run.pay().await;
    let paid = run.paid.last().unwrap().0;
    let start = Instant::now();
    while run.link.watcher.newest_origin().is_none_or(|origin| origin.number < paid) {
        assert!(start.elapsed() < PATIENCE, "L1 block {paid} does not become deep");
        tokio::time::sleep(POLL).await;
    }
    run.block(Vec::new());
    run.check().await;
    assert!(run.known.contains(&account));
    run.l1.stop().await;
}
