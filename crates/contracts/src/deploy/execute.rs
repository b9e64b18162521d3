//! Sends a plan, stage by stage, and reads back what the chain specification needs. What the journal says was sent is looked for on L1 first.

use super::bytecode::CodeMismatch;
use super::journal::{Journal, Signed};
use super::params::TokenSource;
use super::plan::{Contract, DeploymentPlan, FIXING_STEPS, PlannedContracts, SequencerRegistration, Step};
use crate::genesis::{self, GenesisCommitment, GenesisError};
use crate::l1::{FeeSplitter, MiningRewards, Portal, Rollup, SequencerPool, Slasher, UnbondingTicket};
use alloy_consensus::{SignableTransaction, Transaction as _, TxEip1559};
use alloy_eips::BlockNumberOrTag;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind};
use alloy_provider::Provider;
use alloy_provider::utils::Eip1559Estimation;
use alloy_rpc_types_eth::{Transaction, TransactionInput, TransactionReceipt, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent};
use alloy_transport::TransportError;
use oceanid_primitives::{ChainSpec, Committee, CommitteeError, L1Origin, SpecError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A stage that is not mined after this long fails; what was sent may still be mined later.
pub const STAGE_TIMEOUT: Duration = Duration::from_secs(180);
/// First and longest pause between two looks for receipts.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(1_000));
/// The fee offered is this many times the present estimate, so that a stage of many blocks is not stranded by a rising base fee.
const FEE_MARGIN: u128 = 2;
/// A replacement must offer this much more than what it replaces, percent: nodes refuse less than 10.
const REPLACEMENT_BUMP: u128 = 13;

/// A deployed chain.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Its specification.
    pub spec: ChainSpec,
    /// Its genesis.
    pub genesis: GenesisCommitment,
}

/// Why a deployment stopped. Nothing is rolled back: with its journal it can be carried on.
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
        /// `L1 chain id`, `deployer`, or the list of owners.
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
    /// The journal could not be written; what was to be sent was not.
    #[error("`{step}` was not sent, because the journal cannot be written: {source}")]
    Journal {
        /// What was to be done.
        step: String,
        /// Cause.
        source: std::io::Error,
    },
    /// The deployer's nonces decide the addresses.
    #[error(
        "`{step}` needs nonce {nonce} of {deployer}, with which it has sent something else: this deployment cannot be finished"
    )]
    NonceTaken {
        /// What was to be done.
        step: String,
        /// The deployer.
        deployer: Address,
        /// The nonce.
        nonce: u64,
    },
    /// Something is where a contract is to be made.
    #[error("there is code at {address}, where {contract} is to be deployed")]
    Occupied {
        /// Which.
        contract: Contract,
        /// Where.
        address: Address,
    },
    /// A contract is not where it should be, or another one is.
    #[error("{contract} at {address}: {mismatch}")]
    Code {
        /// Which.
        contract: Contract,
        /// Where.
        address: Address,
        /// What is wrong.
        mismatch: CodeMismatch,
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

/// Carries out `plan` with the registrations of its owners, in the plan's order, or what `journal` says is left of it. The block that seals
/// the first committee becomes the origin of genesis once it has `confirmations` blocks on top. `progress` is told each stage, for people.
pub async fn execute(
    provider: &impl Provider,
    deployer: &PrivateKeySigner,
    plan: &DeploymentPlan,
    registrations: &[SequencerRegistration],
    confirmations: u64,
    journal: &mut dyn Journal,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Deployment, DeployError> {
    let l1 = L1 { provider, chain_id: plan.l1_chain_id };
    require_as_planned(&l1, deployer, plan, registrations).await?;
    let prepare = plan.prepare.len();
    let rotate = prepare + 2 * registrations.len();
    let by_deployer = |steps: &[Step], first_step: usize, first_nonce: u64| -> Vec<Task<'_>> {
        let numbered = steps.iter().cloned().zip(first_step..).zip(first_nonce..);
        numbered.map(|((step, number), nonce)| Task { step, number, signer: deployer, nonce: Some(nonce) }).collect()
    };

    progress("deploying contracts");
    l1.run(&by_deployer(&plan.prepare, 0, plan.first_nonce), journal).await?;

    progress("locking stake");
    let locks = registrations.iter().flat_map(|registration| plan.lock(registration).map(|step| (step, &registration.owner)));
    let locks: Vec<Task<'_>> =
        locks.zip(prepare..).map(|((step, signer), number)| Task { step, number, signer, nonce: None }).collect();
    l1.run(&locks, journal).await?;

    progress("choosing the first committee");
    let members = registrations.len();
    let rotation = by_deployer(&[plan.rotate(members)], rotate, plan.nonce_of_rotate());
    let receipts = l1.run(&rotation, journal).await?;
    let chosen = event::<SequencerPool::CommitteeChosen>(plan, &receipts[0])?;

    progress("waiting for the L1 block that gives its seed");
    let header = l1.header_below(chosen.sealBlock.saturating_to(), confirmations.max(1)).await?;
    let seal = by_deployer(&[plan.seal(header, chosen, members)], rotate + 1, plan.nonce_of_rotate() + 1);
    let receipts = l1.run(&seal, journal).await?;
    let sealed = l1.confirm(receipts[0].transaction_hash, confirmations).await?;
    let spec = specification(&l1, plan, &sealed).await?;
    let genesis = genesis::commitment(&spec);

    progress("deploying Rollup and funding the mining budget");
    let rest = plan.conclude(spec.genesis_timestamp, rollup_config(plan, &spec, &genesis));
    l1.run(&by_deployer(&rest, rotate + FIXING_STEPS, plan.nonce_of_conclusion()), journal).await?;

    progress("checking the contracts");
    verify(&l1, plan, &spec, &genesis).await?;
    Ok(Deployment { spec, genesis })
}

/// How far a step of a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was sent that L1 knows.
    Open,
    /// L1 knows the transaction and has not mined it.
    Pending,
    /// Mined, for this much gas.
    Done {
        /// Gas used.
        gas: u64,
    },
}

/// How far each step of [`DeploymentPlan::outline`] is, by the journal and L1. Sends nothing.
pub async fn survey(
    provider: &impl Provider,
    plan: &DeploymentPlan,
    journal: &dyn Journal,
) -> Result<Vec<Standing>, DeployError> {
    let l1 = L1 { provider, chain_id: plan.l1_chain_id };
    let mut standings = Vec::new();
    for (number, step) in plan.outline().iter().enumerate() {
        let signed: Vec<Signed> = journal.signed().iter().copied().filter(|signed| signed.step == number).collect();
        standings.push(match l1.mined(&step.what, &signed).await? {
            Some(receipt) if !receipt.status() => {
                return Err(DeployError::Reverted { step: step.what.clone(), transaction: receipt.transaction_hash });
            }
            Some(receipt) => Standing::Done { gas: receipt.gas_used },
            None if l1.pending(&step.what, &signed).await?.is_some() => Standing::Pending,
            None => Standing::Open,
        });
    }
    Ok(standings)
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
    let alloc = plan.genesis(&committee, block.header.timestamp)?;
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

/// The code at every address, and the answers that a wrong address would spoil.
async fn verify<P: Provider>(
    l1: &L1<'_, P>,
    plan: &DeploymentPlan,
    spec: &ChainSpec,
    genesis: &GenesisCommitment,
) -> Result<(), DeployError> {
    let contracts = &plan.contracts;
    for (contract, address) in contracts.named() {
        l1.check_code(plan, contract, address).await?;
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

/// A step with its place in the plan, and who sends it.
struct Task<'a> {
    step: Step,
    number: usize,
    signer: &'a PrivateKeySigner,
    /// The nonce that the plan has for it; none of a step whose nonce decides nothing.
    nonce: Option<u64>,
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

    /// Holds the code at an address against the artifact; of a token that was there before, that there is some.
    async fn check_code(&self, plan: &DeploymentPlan, contract: Contract, address: Address) -> Result<(), DeployError> {
        let code = self.code(contract, address).await?;
        let checked = match (contract, &plan.params.token) {
            (Contract::Token, TokenSource::Existing { .. }) if !code.is_empty() => Ok(()),
            _ => contract.check_code(&code),
        };
        checked.map_err(|mismatch| DeployError::Code { contract, address, mismatch })
    }

    async fn code(&self, contract: Contract, address: Address) -> Result<Bytes, DeployError> {
        let code = self.provider.get_code_at(address).await;
        code.map_err(|source| DeployError::l1(&format!("read the code of {contract}"), source))
    }

    /// Sends what L1 does not have of the tasks, then waits until all are mined. The receipts are in the order of the tasks.
    async fn run(&self, tasks: &[Task<'_>], journal: &mut dyn Journal) -> Result<Vec<TransactionReceipt>, DeployError> {
        let fees = self.provider.estimate_eip1559_fees().await.map_err(|source| DeployError::l1("estimate fees", source))?;
        let mut sent = Vec::with_capacity(tasks.len());
        for task in tasks {
            sent.push(self.send(task, fees, journal).await?);
        }
        let deadline = Instant::now() + STAGE_TIMEOUT;
        let mut receipts = Vec::with_capacity(sent.len());
        for (task, transaction) in tasks.iter().zip(sent) {
            let receipt = self.receipt(&task.step, transaction, deadline).await?;
            if !receipt.status() {
                return Err(DeployError::Reverted { step: task.step.what.clone(), transaction });
            }
            if let (Some(contract), Some(nonce)) = (task.step.creates, task.nonce) {
                let address = task.signer.address().create(nonce);
                let mismatch = contract.check_code(&self.code(contract, address).await?);
                mismatch.map_err(|mismatch| DeployError::Code { contract, address, mismatch })?;
            }
            receipts.push(receipt);
        }
        Ok(receipts)
    }

    /// Hash of the task's transaction: the one that is mined or pending, or a new one, sent now.
    async fn send(&self, task: &Task<'_>, fees: Eip1559Estimation, journal: &mut dyn Journal) -> Result<B256, DeployError> {
        let (step, from) = (&task.step, task.signer.address());
        let signed: Vec<Signed> = journal.signed().iter().copied().filter(|signed| signed.step == task.number).collect();
        // Read before the receipts: what is mined in between is found among them.
        let next = self.nonce(from).await?;
        if let Some(receipt) = self.mined(&step.what, &signed).await? {
            return Ok(receipt.transaction_hash);
        }
        let nonce = match task.nonce {
            Some(nonce) if nonce < next => {
                return Err(DeployError::NonceTaken { step: step.what.clone(), deployer: from, nonce });
            }
            Some(nonce) => nonce,
            // An earlier attempt's nonce, unless the account has used it for something else; else the first that no other step has.
            None => match signed.iter().rev().find(|signed| signed.nonce >= next) {
                Some(signed) => signed.nonce,
                None => journal
                    .signed()
                    .iter()
                    .filter(|signed| signed.from == from)
                    .map(|signed| signed.nonce + 1)
                    .fold(next, u64::max),
            },
        };
        let mut offer = (fees.max_fee_per_gas * FEE_MARGIN, fees.max_priority_fee_per_gas);
        if let Some(pending) = self.pending(&step.what, &signed).await? {
            let old = (pending.max_fee_per_gas(), pending.max_priority_fee_per_gas().unwrap_or_default());
            if old.0 >= fees.max_fee_per_gas {
                return Ok(*pending.inner.tx_hash());
            }
            let more = |fee: u128| fee + (fee * REPLACEMENT_BUMP).div_ceil(100);
            offer = (offer.0.max(more(old.0)), offer.1.max(more(old.1)));
        }
        if let (Some(contract), TxKind::Create) = (step.creates, step.to) {
            let address = from.create(nonce);
            if !self.code(contract, address).await?.is_empty() {
                return Err(DeployError::Occupied { contract, address });
            }
        }
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit: step.gas,
            max_fee_per_gas: offer.0,
            max_priority_fee_per_gas: offer.1,
            to: step.to,
            value: step.value,
            access_list: Default::default(),
            input: step.input.clone(),
        };
        let signature = task.signer.sign_hash_sync(&transaction.signature_hash()).expect("a local key signs any hash");
        let envelope = alloy_consensus::TxEnvelope::from(transaction.into_signed(signature));
        let hash = *envelope.tx_hash();
        let entry = Signed { step: task.number, from, nonce, hash };
        journal.record(entry).map_err(|source| DeployError::Journal { step: step.what.clone(), source })?;
        match self.provider.send_raw_transaction(&envelope.encoded_2718()).await {
            Ok(_) => Ok(hash),
            Err(source) => Err(DeployError::l1(&step.what, source)),
        }
    }

    /// The receipt of whichever of a step's transactions was mined.
    async fn mined(&self, what: &str, signed: &[Signed]) -> Result<Option<TransactionReceipt>, DeployError> {
        for signed in signed.iter().rev() {
            let receipt = self.provider.get_transaction_receipt(signed.hash).await;
            if let Some(receipt) = receipt.map_err(|source| DeployError::l1(what, source))? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// The newest of a step's transactions, if L1 knows it.
    async fn pending(&self, what: &str, signed: &[Signed]) -> Result<Option<Transaction>, DeployError> {
        let Some(newest) = signed.last() else { return Ok(None) };
        self.provider.get_transaction_by_hash(newest.hash).await.map_err(|source| DeployError::l1(what, source))
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
