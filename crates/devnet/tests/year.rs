//! A year of mining under preset `metis`, on the real contracts: weekly epochs of a few blocks on Layer 2, executed by the node's own
//! state transition and certified with the members' keys; their messages proven to `MiningRewards` on an embedded L1 whose clock is moved.
//!
//! One member never leads when drawn. The others earn the rule's 20% a year; every credit is compared with a model, to the wei. In between the
//! chain stands still for a month, which nobody is paid for.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::BlockNumberOrTag;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_provider::{Provider, RootProvider};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{TransactionInput, TransactionReceipt, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use commonware_codec::Encode;
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_utils::iter::NonEmpty;
use oceanid_chain::{BuildLimits, ConsensusContext, Ledger, LedgerConfig};
use oceanid_contracts::deploy::Preset;
use oceanid_contracts::l1::{MiningRewards, OceanidToken, Portal, Rollup, SequencerPool};
use oceanid_contracts::l2::EpochLedger;
use oceanid_devnet::l1::{EmbeddedL1, EmbeddedL1Config};
use oceanid_devnet::network::{DevOptions, DevSequencer, connect, deploy_dev, dev_sequencers};
use oceanid_primitives::predeploys::{EPOCH_LEDGER, MESSAGE_PASSER};
use oceanid_primitives::{
    ChainSpec, Committee, Header, HeaderExtension, L1Block, L1Contracts, L1Origin, L1View, SealedBlock, TxDeposit, quorum,
    user_source_hash,
};
use oceanid_sequencer::types::Finalization;
use oceanid_sequencer::{Certificate, block};
use oceanid_stf::{BlockEnv, CallRequest, StateReader, call};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const EPOCH_LENGTH: u64 = 4;
const WEEK: u64 = 7 * 86_400;
const YEAR: u64 = 365 * 86_400;
/// Seconds that the chain stands still at the end of week [`OUTAGE_AFTER`].
const OUTAGE: u64 = 30 * 86_400;
const OUTAGE_AFTER: u64 = 20;
/// Weeks that are credited.
const WEEKS: u64 = 52;
/// Epochs proven in one transaction.
const EPOCHS_PER_CREDIT: u64 = 4;
/// Preset `metis`.
const APR_BPS: u64 = 2_000;
const BPS: u64 = 10_000;
/// The member that misses, by position in the committee.
const IDLE: usize = 3;
/// `Rollup.DA_NONE`: nobody follows this chain.
const NO_DATA: u8 = 255;
const GAS_LIMIT: u64 = 10_000_000;
const MAX_FEE: u128 = 10_000_000_000;

/// An L1 whose clock is moved by hand.
struct L1 {
    node: EmbeddedL1,
    provider: RootProvider,
    _dir: tempfile::TempDir,
}

impl L1 {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = EmbeddedL1Config::dev(dir.path().to_owned(), any, any);
        // Blocks come with transactions only: a year of empty ones would push the origin out of L1's memory.
        config.block_time = Duration::from_secs(86_400);
        let node = EmbeddedL1::start(config).await.unwrap();
        let provider = connect(&node.http()).unwrap();
        Self { node, provider, _dir: dir }
    }

    async fn header(&self, number: BlockNumberOrTag) -> alloy_rpc_types_eth::Header {
        self.provider.get_block_by_number(number).await.unwrap().unwrap().header
    }

    /// The next block has a timestamp of at least `time`.
    async fn move_to(&self, time: u64) {
        let head = self.header(BlockNumberOrTag::Latest).await.timestamp;
        let next = time.max(head + 2);
        let _: serde_json::Value = self.provider.raw_request("evm_increaseTime".into(), (json!(next - head),)).await.unwrap();
        let _: serde_json::Value = self.provider.raw_request("evm_setNextBlockTimestamp".into(), (json!(next),)).await.unwrap();
    }

    /// Sends a call in a block whose timestamp is at least `time`.
    async fn send<C: SolCall>(&self, from: &PrivateKeySigner, to: Address, call: &C, time: u64) -> TransactionReceipt {
        self.move_to(time).await;
        let transaction = TxEip1559 {
            chain_id: self.node.chain_id(),
            nonce: self.provider.get_transaction_count(from.address()).await.unwrap(),
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(to),
            input: call.abi_encode().into(),
            ..TxEip1559::default()
        };
        let signature = from.sign_hash_sync(&transaction.signature_hash()).unwrap();
        let raw = alloy_consensus::TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        let hash = *self.provider.send_raw_transaction(&raw).await.unwrap().tx_hash();
        for _ in 0..12_000 {
            if let Some(receipt) = self.provider.get_transaction_receipt(hash).await.unwrap() {
                assert!(receipt.status(), "{} reverted", C::SIGNATURE);
                return receipt;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{} was not mined", C::SIGNATURE)
    }

    async fn ask<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let request = TransactionRequest {
            to: Some(TxKind::Call(to)),
            input: TransactionInput::new(call.abi_encode().into()),
            ..TransactionRequest::default()
        };
        C::abi_decode_returns(&self.provider.call(request).await.expect(C::SIGNATURE)).expect(C::SIGNATURE)
    }
}

/// What Layer 2 sees of L1: nothing, until it is shown something.
#[derive(Default)]
struct Shown(BTreeMap<u64, Arc<L1Block>>);

impl L1View for Shown {
    fn newest_origin(&self) -> Option<L1Origin> {
        self.0.values().next_back().map(|block| block.origin())
    }

    fn block(&self, number: u64) -> Option<Arc<L1Block>> {
        self.0.get(&number).cloned()
    }
}

/// A committee without a network.
struct Chain {
    ledger: Ledger,
    sequencers: Vec<DevSequencer>,
    committee: Committee,
    shown: Shown,
    _dir: tempfile::TempDir,
}

impl Chain {
    fn open(spec: ChainSpec, sequencers: Vec<DevSequencer>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let committee = spec.committee.clone();
        let ledger = Ledger::open(dir.path(), Arc::new(spec), LedgerConfig::default()).unwrap();
        Self { ledger, sequencers, committee, shown: Shown::default(), _dir: dir }
    }

    fn contracts(&self) -> &L1Contracts {
        &self.ledger.spec().l1
    }

    /// The sequencer in that seat.
    fn member(&self, seat: usize) -> &DevSequencer {
        let identity = self.committee.members[seat].identity;
        self.sequencers.iter().find(|sequencer| sequencer.keys.identity() == identity).unwrap()
    }

    /// The next block; the idle member's views pass. Returns who led and the views that it missed.
    fn advance(&self, timestamp: u64) -> (usize, u32) {
        let parent = self.ledger.head();
        let epoch = (parent.number() + 1) / EPOCH_LENGTH;
        let before = HeaderExtension::decode(&parent.header().extra_data).unwrap();
        let parent_view = if before.epoch == epoch { before.view } else { 0 };
        let mut view = parent_view + 1;
        while self.committee.leader(epoch, view) as usize == IDLE {
            view += 1;
        }
        let leader = self.committee.leader(epoch, view);
        let context = ConsensusContext { epoch, view, parent_view, leader };
        let mut nothing = VecDeque::new();
        let block =
            self.ledger.build(parent.hash(), context, timestamp, &self.shown, &mut nothing, BuildLimits::default()).unwrap();
        self.ledger.commit(&block, Some(self.certify(&context, block.hash()))).unwrap();
        (leader as usize, (view - parent_view - 1) as u32)
    }

    fn certify(&self, context: &ConsensusContext, hash: B256) -> Bytes {
        let namespace = self.ledger.namespace();
        let round = Round::new(Epoch::new(context.epoch), View::new(context.view));
        let proposal = Proposal::new(round, View::new(context.parent_view), block::digest(hash));
        let schemes: Vec<_> =
            self.sequencers.iter().filter_map(|sequencer| sequencer.keys.voting_scheme(&namespace, &self.committee)).collect();
        let votes: Vec<_> = schemes
            .iter()
            .take(quorum(self.committee.members.len()))
            .map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap())
            .collect();
        let votes = NonEmpty::try_new(votes.into_iter()).unwrap();
        Finalization::from_owned_finalizes(&schemes[0], votes, &commonware_parallel::Sequential).unwrap().encode().to_vec().into()
    }

    /// Posts everything up to the head, which ends in one epoch, as batch `index`.
    async fn post(&self, l1: &L1, index: u64, first: u64) {
        let head = self.ledger.head();
        let mut header = Vec::new();
        head.header().encode(&mut header);
        let stored = self.ledger.store().certificate(head.number()).unwrap().unwrap();
        let certificate = Certificate::decode(&stored).unwrap().to_l1().unwrap();
        let call = Rollup::submitBatchCall {
            parentIndex: U256::from(index - 1),
            firstBlock: first,
            lastHeaderRlp: header.into(),
            certificate: Rollup::Certificate {
                view_: certificate.view,
                parentView: certificate.parent_view,
                signers: certificate.signers,
                signature: Bytes::copy_from_slice(certificate.signature.as_slice()),
            },
            daMode: NO_DATA,
            data: Bytes::new(),
        };
        l1.send(&self.sequencers[0].poster, self.contracts().rollup, &call, head.header().timestamp + 1).await;
    }

    /// The message about an epoch, with its proof in the state after block `at`.
    fn message(&self, epoch: u64, at: u64) -> MiningRewards::EpochMessage {
        let view = self.ledger.view_at(at).unwrap();
        let input = EpochLedger::messageCall { epoch }.abi_encode().into();
        let request = CallRequest { to: EPOCH_LEDGER.into(), gas_limit: 10_000_000, input, ..CallRequest::default() };
        let outcome = call(self.ledger.rules(), self.ledger.spec().chain_id, BlockEnv::default(), &view, &request).unwrap();
        let message = EpochLedger::messageCall::abi_decode_returns(outcome.result.output().unwrap()).unwrap();
        assert!(!message.nonce.is_zero(), "epoch {epoch} was told");
        let withdrawal = (message.nonce, EPOCH_LEDGER, self.contracts().rewards, U256::ZERO, U256::ZERO, message.data.clone())
            .abi_encode_params();
        let slot = keccak256((keccak256(withdrawal), B256::ZERO).abi_encode());
        let proof = view.proof(MESSAGE_PASSER, &[slot.into()]).unwrap().storage.remove(0).1;
        MiningRewards::EpochMessage { nonce: message.nonce, data: message.data, storageProof: proof.proof }
    }

    /// Credits epochs from the output of a batch that ends with `block`, once it is final.
    async fn credit(&self, l1: &L1, epochs: core::ops::Range<u64>, batch: u64, block: &SealedBlock) {
        let Header { state_root, withdrawals_root, number, timestamp, .. } = *block.header();
        let call = MiningRewards::creditEpochsCall {
            outputIndex: U256::from(batch),
            outputRootProof: MiningRewards::OutputRootProof {
                version: B256::ZERO,
                stateRoot: state_root,
                messagePasserStorageRoot: withdrawals_root.unwrap(),
                latestBlockhash: block.hash(),
            },
            messages: epochs.map(|epoch| self.message(epoch, number)).collect(),
        };
        l1.send(&self.sequencers[0].poster, self.contracts().rewards, &call, timestamp + 2 * WEEK).await;
    }
}

/// Led and missed in one epoch, by seat.
type Counts = [(u64, u64); 4];

/// What `MiningRewards` must credit for an epoch of `seconds`, by seat, wei: written from docs/mining.md.
fn model(committee: &Committee, counts: &Counts, seconds: u64) -> [U256; 4] {
    let stake: U256 = committee.members.iter().map(|member| U256::from(member.weight)).sum();
    let emission = stake * U256::from(APR_BPS * seconds) / U256::from(BPS * YEAR);
    core::array::from_fn(|seat| {
        let (led, missed) = counts[seat];
        let weight = U256::from(committee.members[seat].weight);
        let effective = if led + missed == 0 { weight } else { weight * U256::from(led) / U256::from(led + missed) };
        emission * effective / stake
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_under_preset_metis_pays_what_its_rule_says() {
    let l1 = L1::start().await;
    let sequencers = dev_sequencers(4).unwrap();
    let mut options = DevOptions { epoch_length: EPOCH_LENGTH, ..DevOptions::of(Preset::Metis) };
    // The longest gap that is paid for is that between these blocks.
    options.heartbeat_ms = WEEK / EPOCH_LENGTH * 1_000 / 8;
    let deployment = deploy_dev(&l1.node.http(), &options, &sequencers, &|_| ()).await.unwrap();
    let mut chain = Chain::open(deployment.spec, sequencers);
    let contracts = *chain.contracts();
    let (start, rewards) = (chain.ledger.spec().genesis_timestamp, contracts.rewards);
    assert_eq!(chain.ledger.spec().timing.max_paid_gap(), WEEK / EPOCH_LENGTH);
    let budget = Preset::Metis.economics().mining.budget;

    // A week is an epoch: its first block opens it, the last but one second closes it. Batch `week + 1` holds it.
    let mut expected = [U256::ZERO; 4];
    let mut idle_weeks = 0;
    for week in 0..=WEEKS {
        let mut counts = Counts::default();
        let first = (week * EPOCH_LENGTH).max(1);
        for number in first..(week + 1) * EPOCH_LENGTH {
            let stood = if week > OUTAGE_AFTER { OUTAGE } else { 0 };
            let (leader, missed) = chain.advance(start + stood + week * WEEK + (number % EPOCH_LENGTH) * WEEK / EPOCH_LENGTH);
            counts[leader].0 += 1;
            counts[IDLE].1 += u64::from(missed);
        }
        chain.post(&l1, week + 1, first).await;
        if week < WEEKS {
            let earned = model(&chain.committee, &counts, WEEK);
            (0..4).for_each(|seat| expected[seat] += earned[seat]);
            idle_weeks += u64::from(counts[IDLE].1 > 0);
        }
        // The batch before this one holds the messages up to epoch `week - 2`, and is final after a week; its output proves them all.
        let due = week.saturating_sub(1);
        if due > 0 && due.is_multiple_of(EPOCHS_PER_CREDIT) {
            let last = chain.ledger.store().block(week * EPOCH_LENGTH - 1).unwrap().unwrap();
            chain.credit(&l1, due - EPOCHS_PER_CREDIT..due, week, &last).await;
        }
    }
    let credited = l1.ask(rewards, MiningRewards::nextEpochCall {}).await;
    chain.credit(&l1, credited..WEEKS, WEEKS + 1, &chain.ledger.head()).await;
    assert_eq!(l1.ask(rewards, MiningRewards::nextEpochCall {}).await, WEEKS);
    assert_eq!(l1.ask(rewards, MiningRewards::creditedUntilCall {}).await, start + WEEKS * WEEK + OUTAGE);
    assert!(idle_weeks > WEEKS / 2, "the idle member was drawn in {idle_weeks} weeks");

    // Every credit is the model's; those who work earn the rule, the one who does not earns for the weeks it was not drawn.
    let claimable = async |id: u64| l1.ask(rewards, MiningRewards::claimableCall { id }).await;
    let ids: Vec<u64> = chain.committee.members.iter().map(|member| member.id).collect();
    for seat in 0..4 {
        let got = claimable(ids[seat]).await;
        assert_eq!(got, expected[seat], "seat {seat}");
        let year = got * U256::from(YEAR) / U256::from(WEEKS * WEEK);
        let apr: u64 = (year * U256::from(BPS) / U256::from(chain.committee.members[seat].weight)).to();
        if seat == IDLE {
            assert!(apr < APR_BPS / 2, "{apr} basis points for idling");
        } else {
            assert!(apr.abs_diff(APR_BPS) <= APR_BPS / 100, "{apr} basis points where the rule says {APR_BPS}");
        }
    }
    let spent: U256 = expected.iter().sum();
    assert_eq!(l1.ask(rewards, MiningRewards::budgetCall {}).await, budget - spent);
    assert!(l1.ask(rewards, MiningRewards::jailableCall { id: ids[IDLE] }).await);
    assert!(!l1.ask(rewards, MiningRewards::jailableCall { id: ids[0] }).await);

    // To L1.
    let balance = async |account: Address| l1.ask(contracts.token, OceanidToken::balanceOfCall { account }).await;
    let owner = &chain.member(0).owner;
    let before = balance(owner.address()).await;
    l1.send(owner, rewards, &MiningRewards::claimToL1Call { id: ids[0] }, 0).await;
    assert_eq!(balance(owner.address()).await - before, expected[0]);

    // Into the lock.
    let locked = async |id: u64| l1.ask(contracts.pool, SequencerPool::sequencerCall { id }).await.amount;
    let (before, amount) = (locked(ids[1]).await, expected[1] / U256::from(2));
    l1.send(&chain.member(1).owner, rewards, &MiningRewards::relockCall { id: ids[1], amount }, 0).await;
    assert_eq!(U256::from(locked(ids[1]).await - before), amount);
    assert_eq!(claimable(ids[1]).await, expected[1] - amount);

    // To Layer 2, by a deposit that the chain then takes in.
    let owner = chain.member(2).owner.clone();
    let escrow = balance(contracts.portal).await;
    let receipt = l1.send(&owner, rewards, &MiningRewards::claimToL2Call { id: ids[2] }, 0).await;
    assert_eq!(balance(contracts.portal).await - escrow, expected[2]);
    chain.shown = show(&l1, &contracts, &receipt).await;
    let native = |chain: &Chain| chain.ledger.view().account(owner.address()).unwrap().unwrap_or_default().balance;
    assert_eq!(native(&chain), U256::ZERO);
    let now = l1.header(BlockNumberOrTag::Latest).await.timestamp;
    while HeaderExtension::decode(&chain.ledger.head().header().extra_data).unwrap().origin.number < receipt.block_number.unwrap()
    {
        chain.advance(now);
    }
    assert_eq!(native(&chain), expected[2]);

    // What is left are the budget and what nobody has claimed.
    let held = budget - spent + (expected[1] - amount) + expected[IDLE];
    assert_eq!(balance(rewards).await, held);
    l1.node.shutdown().await;
}

/// L1's blocks from genesis' origin to the receipt's, with the receipt's deposit.
async fn show(l1: &L1, contracts: &L1Contracts, receipt: &TransactionReceipt) -> Shown {
    let mut shown = Shown::default();
    let last = receipt.block_number.unwrap();
    for number in contracts.start.number..=last {
        let header = l1.header(BlockNumberOrTag::Number(number)).await;
        let mut deposits = Vec::new();
        if number == last {
            deposits.extend(receipt.inner.logs().iter().filter(|log| log.address() == contracts.portal).map(|log| {
                let event = Portal::TransactionDeposited::decode_log(&log.inner).unwrap();
                deposit(&event.data, user_source_hash(header.hash, log.log_index.unwrap()))
            }));
            assert_eq!(deposits.len(), 1);
        }
        shown.0.insert(
            number,
            Arc::new(L1Block {
                number,
                hash: header.hash,
                parent_hash: header.parent_hash,
                timestamp: header.timestamp,
                base_fee: u128::from(header.base_fee_per_gas.unwrap()),
                blob_base_fee: 1,
                deposits,
            }),
        );
    }
    shown
}

/// Mint and value (32 bytes each), gas limit (8), creation flag (1), calldata.
fn deposit(event: &Portal::TransactionDeposited, source_hash: B256) -> TxDeposit {
    let data = &event.opaqueData;
    TxDeposit {
        source_hash,
        from: event.from,
        to: TxKind::Call(event.to),
        mint: U256::from_be_slice(&data[..32]).to(),
        value: U256::from_be_slice(&data[32..64]),
        gas_limit: u64::from_be_bytes(data[64..72].try_into().unwrap()),
        is_system_transaction: false,
        input: Bytes::copy_from_slice(&data[73..]),
    }
}
