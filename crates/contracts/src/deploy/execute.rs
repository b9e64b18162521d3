//! Sends a plan, stage by stage, and reads back what the chain specification needs.

use super::plan::{Contract, DeploymentPlan, PlannedContracts, SequencerRegistration, Step};
use crate::genesis::{self, GenesisCommitment, GenesisError, GenesisInput};
use crate::l1::{FeeSplitter, MiningRewards, Portal, Rollup, SequencerPool, Slasher, UnbondingTicket};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::BlockNumberOrTag;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind};
use alloy_provider::Provider;
use alloy_rpc_types_eth::{TransactionInput, TransactionReceipt, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent};
use alloy_transport::TransportError;
use oceanid_primitives::{ChainSpec, Committee, CommitteeError, L1Origin, SpecError};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A stage that is not mined after this long fails; what was sent may still be mined later.
pub const STAGE_TIMEOUT: Duration = Duration::from_secs(180);
/// First and longest pause between two looks for receipts.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(1_000));
/// The fee offered is this many times the present estimate, so that a stage of many blocks is not stranded by a rising base fee.
const FEE_MARGIN: u128 = 2;

/// A deployed chain.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Its specification.
    pub spec: ChainSpec,
    /// Its genesis.
    pub genesis: GenesisCommitment,
}

/// Why a deployment stopped. Nothing is rolled back: a new attempt plans from the deployer's new nonce, with new addresses.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// L1 refused or did not answer.
    #[error("L1, at `{step}`: {source}")]
    L1 {
        /// What was being done.
        step: String,
        /// Cause.
        source: TransportError,
    },
    /// A transaction was mined and failed.
    #[error("`{step}` reverted in L1 transaction {transaction}")]
    Reverted {
        /// What it was to do.
        step: String,
        /// Its hash.
        transaction: B256,
    },
    /// A transaction was not mined in time.
    #[error("`{step}` (L1 transaction {transaction}) was not mined within {} s: is L1 making blocks?", STAGE_TIMEOUT.as_secs())]
    Timeout {
        /// What it was to do.
        step: String,
        /// Its hash.
        transaction: B256,
    },
    /// Not what the plan was made for.
    #[error("deployment: {what} is {given}, the plan was made for {planned}")]
    NotAsPlanned {
        /// `L1 chain id`, `deployer`, `deployer's nonce` or a registration.
        what: &'static str,
        /// What it is.
        given: String,
        /// What the plan says.
        planned: String,
    },
    /// The rotation chose no committee, or the seal fixed none, in its receipt.
    #[error("L1 transaction {0} chose or fixed no first committee")]
    NoCommittee(B256),
    /// The pool's committee breaks a rule.
    #[error("the pool's first committee: {0}")]
    Committee(#[from] CommitteeError),
    /// The block of the seal disappeared.
    #[error("L1 block {0} is gone: L1 was reorganised below the genesis of Layer 2")]
    Reorganised(u64),
    /// No genesis follows.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// No specification follows.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A contract is not where it should be.
    #[error("no code at {address}, where {contract} was deployed")]
    NoCode {
        /// Which.
        contract: Contract,
        /// Where.
        address: Address,
    },
    /// A contract says something else than the plan.
    #[error("{contract} at {address} answers `{function}` with another value than planned")]
    Mismatch {
        /// Which.
        contract: Contract,
        /// Where.
        address: Address,
        /// What was asked.
        function: &'static str,
    },
}

/// Carries out `plan` with the registrations of its owners, in the plan's order. The block that seals the first committee becomes
/// the origin of genesis once it has `confirmations` blocks on top. `progress` is told each stage, for people.
pub async fn execute(
    provider: &impl Provider,
    deployer: &PrivateKeySigner,
    plan: &DeploymentPlan,
    registrations: &[SequencerRegistration],
    confirmations: u64,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Deployment, DeployError> {
    let l1 = L1 { provider, chain_id: plan.l1_chain_id };
    require_as_planned(&l1, deployer, plan, registrations).await?;

    progress("deploying contracts");
    l1.run([(deployer, plan.first_nonce, plan.prepare.as_slice())]).await?;

    progress("locking stake");
    let mut nonces = BTreeMap::new();
    let mut locks = Vec::new();
    for registration in registrations {
        let owner = registration.owner.address();
        let nonce = match nonces.get(&owner) {
            Some(nonce) => *nonce,
            None => l1.nonce(owner).await?,
        };
        nonces.insert(owner, nonce + 2);
        locks.push((&registration.owner, nonce, plan.lock(registration)));
    }
    l1.run(locks.iter().map(|(owner, nonce, steps)| (*owner, *nonce, steps.as_slice()))).await?;

    progress("choosing the first committee");
    let members = registrations.len();
    let rotate = [plan.rotate(members)];
    let receipts = l1.run([(deployer, plan.nonce_of_rotate(), rotate.as_slice())]).await?;
    let chosen = event::<SequencerPool::CommitteeChosen>(plan, &receipts[0])?;

    progress("waiting for the L1 block that gives its seed");
    let header = l1.header_below(chosen.sealBlock.saturating_to(), confirmations.max(1)).await?;
    let seal = [plan.seal(header, chosen, members)];
    let receipts = l1.run([(deployer, plan.nonce_of_rotate() + 1, seal.as_slice())]).await?;
    let sealed = l1.confirm(receipts[0].transaction_hash, confirmations).await?;
    let spec = specification(&l1, plan, &sealed).await?;
    let genesis = genesis::commitment(&spec);

    progress("deploying Rollup and funding the mining budget");
    let rest = plan.conclude(spec.genesis_timestamp, rollup_config(plan, &spec, &genesis));
    l1.run([(deployer, plan.nonce_of_conclusion(), rest.as_slice())]).await?;

    progress("checking the contracts");
    verify(&l1, plan, &spec, &genesis).await?;
    Ok(Deployment { spec, genesis })
}

async fn require_as_planned<P: Provider>(
    l1: &L1<'_, P>,
    deployer: &PrivateKeySigner,
    plan: &DeploymentPlan,
    registrations: &[SequencerRegistration],
) -> Result<(), DeployError> {
    let require = |what, given: String, planned: String| {
        if given == planned { Ok(()) } else { Err(DeployError::NotAsPlanned { what, given, planned }) }
    };
    let chain_id = l1.provider.get_chain_id().await.map_err(|source| DeployError::l1("read the chain id", source))?;
    require("L1 chain id", chain_id.to_string(), plan.l1_chain_id.to_string())?;
    require("deployer", deployer.address().to_string(), plan.deployer.to_string())?;
    let nonce = l1.nonce(plan.deployer).await?;
    require("deployer's nonce", nonce.to_string(), plan.first_nonce.to_string())?;
    let given: Vec<_> = registrations.iter().map(|registration| (registration.owner.address(), registration.amount)).collect();
    require("list of owners and stakes", format!("{given:?}"), format!("{:?}", plan.owners))
}

/// The pool's event of that kind in a receipt.
fn event<E: SolEvent>(plan: &DeploymentPlan, receipt: &TransactionReceipt) -> Result<E, DeployError> {
    let logs = receipt.inner.logs().iter().filter(|log| log.address() == plan.contracts.pool);
    let event = logs.into_iter().find_map(|log| E::decode_log(&log.inner).ok());
    event.map(|log| log.data).ok_or(DeployError::NoCommittee(receipt.transaction_hash))
}

/// The specification that follows from the mined seal.
async fn specification<P: Provider>(
    l1: &L1<'_, P>,
    plan: &DeploymentPlan,
    sealed: &TransactionReceipt,
) -> Result<ChainSpec, DeployError> {
    let fixed = event::<SequencerPool::CommitteeFixed>(plan, sealed)?;
    let committee = Committee::unpack(fixed.id, fixed.seed, &fixed.packedMembers)?;

    let number = sealed.block_number.unwrap_or_default();
    let block = l1
        .provider
        .get_block_by_number(BlockNumberOrTag::Number(number))
        .await
        .map_err(|source| DeployError::l1("read the genesis origin", source))?
        .filter(|block| Some(block.header.hash) == sealed.block_hash)
        .ok_or(DeployError::Reorganised(number))?;

    let (params, contracts) = (&plan.params, &plan.contracts);
    let alloc = genesis::alloc(&GenesisInput {
        pool: contracts.pool,
        oracle: contracts.oracle,
        bridge: contracts.bridge,
        rewards: contracts.rewards,
        fee_splitter: contracts.fee_splitter,
        max_paid_gap: params.timing.max_paid_gap(),
        timestamp: block.header.timestamp,
        gas_token_ratio: params.gas_token_ratio,
        token_name: &plan.token_name,
        token_symbol: &plan.token_symbol,
        token_supply: plan.token_supply,
        committee: &committee,
        balances: &params.balances,
    })?;
    let spec = ChainSpec {
        name: params.name.clone(),
        chain_id: params.chain_id,
        l1_chain_id: plan.l1_chain_id,
        genesis_timestamp: block.header.timestamp,
        fees: params.fees,
        l1_data_fee: params.l1_data_fee,
        timing: params.timing,
        l1: contracts.with_start(L1Origin { number, hash: block.header.hash }),
        committee,
        alloc,
    };
    spec.validate()?;
    Ok(spec)
}

fn rollup_config(plan: &DeploymentPlan, spec: &ChainSpec, genesis: &GenesisCommitment) -> Rollup::Config {
    Rollup::Config {
        pool: spec.l1.pool,
        genesisHash: genesis.hash,
        genesisOutputRoot: genesis.output_root,
        genesisTimestamp: spec.genesis_timestamp,
        genesisOrigin: spec.l1.start.number,
        genesisCommittee: spec.committee.id,
        l2ChainId: spec.chain_id,
        epochLength: spec.timing.epoch_length,
        window: spec.timing.challenge_window,
        maxOriginLag: spec.timing.max_origin_lag,
        stallTimeout: spec.timing.stall_timeout,
        submissionInterval: plan.params.submission_interval,
        l2BlockTime: spec.timing.block_time_ms.div_ceil(1_000),
    }
}

/// Code at every address, and the answers that a wrong address would spoil.
async fn verify<P: Provider>(
    l1: &L1<'_, P>,
    plan: &DeploymentPlan,
    spec: &ChainSpec,
    genesis: &GenesisCommitment,
) -> Result<(), DeployError> {
    let contracts = &plan.contracts;
    for (contract, address) in contracts.named() {
        let code =
            l1.provider.get_code_at(address).await.map_err(|source| DeployError::l1(&format!("read {contract}"), source))?;
        if code.is_empty() {
            return Err(DeployError::NoCode { contract, address });
        }
    }
    let PlannedContracts { pool, ticket, portal, slasher, fee_splitter, rewards, rollup, .. } = *contracts;
    l1.expect(Contract::Portal, portal, Portal::ROLLUPCall {}, rollup).await?;
    l1.expect(Contract::SequencerPool, pool, SequencerPool::SLASHERCall {}, slasher).await?;
    l1.expect(Contract::SequencerPool, pool, SequencerPool::REWARDSCall {}, rewards).await?;
    l1.expect(Contract::UnbondingTicket, ticket, UnbondingTicket::POOLCall {}, pool).await?;
    l1.expect(Contract::Slasher, slasher, Slasher::ROLLUPCall {}, rollup).await?;
    l1.expect(Contract::FeeSplitter, fee_splitter, FeeSplitter::REWARDSCall {}, rewards).await?;
    l1.expect(Contract::MiningRewards, rewards, MiningRewards::budgetCall {}, plan.params.economics.mining.budget).await?;
    l1.expect(Contract::Rollup, rollup, Rollup::namespaceCall {}, spec.namespace(genesis.hash).into()).await
}

impl DeployError {
    fn l1(step: &str, source: TransportError) -> Self {
        Self::L1 { step: step.to_owned(), source }
    }
}

/// An L1 to send to.
struct L1<'a, P> {
    provider: &'a P,
    chain_id: u64,
}

impl<P: Provider> L1<'_, P> {
    async fn nonce(&self, account: Address) -> Result<u64, DeployError> {
        self.provider.get_transaction_count(account).await.map_err(|source| DeployError::l1("read a nonce", source))
    }

    /// Asks a contract.
    async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, DeployError> {
        let request = TransactionRequest {
            to: Some(TxKind::Call(to)),
            input: TransactionInput::new(call.abi_encode().into()),
            ..TransactionRequest::default()
        };
        let answer = self.provider.call(request).await.map_err(|source| DeployError::l1(C::SIGNATURE, source))?;
        C::abi_decode_returns(&answer)
            .map_err(|error| DeployError::l1(C::SIGNATURE, alloy_transport::TransportErrorKind::custom(error)))
    }

    /// Requires an answer of a contract.
    async fn expect<C: SolCall<Return: PartialEq>>(
        &self,
        contract: Contract,
        address: Address,
        call: C,
        planned: C::Return,
    ) -> Result<(), DeployError> {
        if self.call(address, call).await? == planned {
            return Ok(());
        }
        Err(DeployError::Mismatch { contract, address, function: C::SIGNATURE })
    }

    /// Sends every account's steps from its nonce on, then waits until all are mined. The receipts are in the order of the steps.
    async fn run<'s>(
        &self,
        batches: impl IntoIterator<Item = (&'s PrivateKeySigner, u64, &'s [Step])>,
    ) -> Result<Vec<TransactionReceipt>, DeployError> {
        let fees = self.provider.estimate_eip1559_fees().await.map_err(|source| DeployError::l1("estimate fees", source))?;
        let mut sent = Vec::new();
        for (signer, first_nonce, steps) in batches {
            for (step, nonce) in steps.iter().zip(first_nonce..) {
                let transaction = TxEip1559 {
                    chain_id: self.chain_id,
                    nonce,
                    gas_limit: step.gas,
                    max_fee_per_gas: fees.max_fee_per_gas * FEE_MARGIN,
                    max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
                    to: step.to,
                    value: step.value,
                    access_list: Default::default(),
                    input: step.input.clone(),
                };
                let signature = signer.sign_hash_sync(&transaction.signature_hash()).expect("a local key signs any hash");
                let signed = transaction.into_signed(signature);
                let raw = alloy_consensus::TxEnvelope::from(signed).encoded_2718();
                let pending =
                    self.provider.send_raw_transaction(&raw).await.map_err(|source| DeployError::l1(&step.what, source))?;
                sent.push((step, *pending.tx_hash()));
            }
        }
        let deadline = Instant::now() + STAGE_TIMEOUT;
        let mut receipts = Vec::with_capacity(sent.len());
        for (step, transaction) in sent {
            let receipt = self.receipt(step, transaction, deadline).await?;
            if !receipt.status() {
                return Err(DeployError::Reverted { step: step.what.clone(), transaction });
            }
            receipts.push(receipt);
        }
        Ok(receipts)
    }

    async fn receipt(&self, step: &Step, transaction: B256, deadline: Instant) -> Result<TransactionReceipt, DeployError> {
        let mut pause = POLL.0;
        loop {
            let receipt = self.provider.get_transaction_receipt(transaction).await;
            if let Some(receipt) = receipt.map_err(|source| DeployError::l1(&step.what, source))? {
                return Ok(receipt);
            }
            if Instant::now() >= deadline {
                return Err(DeployError::Timeout { step: step.what.clone(), transaction });
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL.1);
        }
    }

    /// The RLP of the header of block `number` once it has that many blocks on top.
    async fn header_below(&self, number: u64, blocks: u64) -> Result<Bytes, DeployError> {
        let failed = |source| DeployError::l1("wait for the seal block", source);
        while self.provider.get_block_number().await.map_err(failed)? < number + blocks {
            sleep(POLL.1 / 4).await;
        }
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Number(number)).await.map_err(failed)?;
        let block = block.ok_or(DeployError::Reorganised(number))?;
        Ok(alloy_rlp::encode(&block.header.inner).into())
    }

    /// The receipt of a mined transaction once its block, whichever it is by then, has that many blocks on top.
    async fn confirm(&self, transaction: B256, confirmations: u64) -> Result<TransactionReceipt, DeployError> {
        let failed = |source| DeployError::l1("wait for confirmations", source);
        loop {
            let receipt = self.provider.get_transaction_receipt(transaction).await.map_err(failed)?;
            let number = receipt.as_ref().and_then(|receipt| receipt.block_number);
            let head = self.provider.get_block_number().await.map_err(failed)?;
            match (receipt, number) {
                (Some(receipt), Some(number)) if head >= number + confirmations => return Ok(receipt),
                _ => sleep(POLL.1).await,
            }
        }
    }
}
