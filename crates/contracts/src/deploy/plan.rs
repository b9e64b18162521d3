//! What will be sent, in which order, and which addresses follow: decided before the first transaction.

use super::params::{ChainParams, EmissionRule, Governance, Penalty, TokenSource};
use crate::genesis::{self, GenesisError, GenesisInput, MAX_SHORT_STRING};
use crate::l1::{
    FeeSplitter, GasPriceOracle, L1Bridge, MiningRewards, OceanidToken, Portal, Rollup, SequencerPool, Slasher, Timelock,
    UnbondingTicket,
};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolConstructor};
use oceanid_primitives::{ChainSpec, Committee, L1Contracts, L1Origin, MAX_COMMITTEE, SpecError};
use std::collections::BTreeMap;

/// One genesis sequencer: its keys, its stake, and the account that owns both.
#[derive(Clone, Debug)]
pub struct SequencerRegistration {
    /// Owner of the lock; sends `approve` and `lock`.
    pub owner: PrivateKeySigner,
    /// ed25519 identity key.
    pub identity: B256,
    /// BLS12-381 public key, G2 in EIP-2537 encoding.
    pub consensus_key: FixedBytes<256>,
    /// Proof of possession, G1 in EIP-2537 encoding, over `SequencerPool.possessionMessage(owner, keys)`.
    pub possession: FixedBytes<128>,
    /// Stake, wei of the token.
    pub amount: u128,
    /// Account that posts batches, of which the costs are counted.
    pub poster: Address,
}

/// Why there is no plan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A number outside its range.
    #[error("deployment: `{field}` is {value}, must be {limit}")]
    Range {
        /// Name of the parameter.
        field: &'static str,
        /// What was given.
        value: u128,
        /// What is allowed.
        limit: &'static str,
    },
    /// Name or symbol does not fit into one slot of genesis.
    #[error("deployment: the gas token's {field} has {length} bytes, at most {MAX_SHORT_STRING} fit into genesis")]
    LongText {
        /// `name` or `symbol`.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// The development token's supply does not cover what is handed out.
    #[error("deployment: {needed} wei of the token are handed out, the supply is {supply}")]
    Supply {
        /// Sum of balances and locks.
        needed: U256,
        /// The supply.
        supply: U256,
    },
    /// The deployer's nonces decide the addresses, so that it can send nothing else.
    #[error("deployment: {0} is the deployer and cannot own a lock too: use two accounts")]
    DeployerOwns(Address),
    /// No specification of the chain would be valid.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// No genesis would be.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
}

/// A contract of the plan, for progress and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// `OceanidToken`, or the ERC-20 given.
    Token,
    /// `Timelock`.
    Timelock,
    /// `SequencerPool`.
    SequencerPool,
    /// `UnbondingTicket`.
    UnbondingTicket,
    /// `Portal`.
    Portal,
    /// `GasPriceOracle`.
    GasPriceOracle,
    /// `L1Bridge`.
    L1Bridge,
    /// `Slasher`.
    Slasher,
    /// `FeeSplitter`.
    FeeSplitter,
    /// `MiningRewards`.
    MiningRewards,
    /// `Rollup`.
    Rollup,
}

impl core::fmt::Display for Contract {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

/// Addresses, known before anything is sent; in the order of deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedContracts {
    /// Gas token.
    pub token: Address,
    /// `Timelock`.
    pub timelock: Address,
    /// `SequencerPool`.
    pub pool: Address,
    /// `UnbondingTicket`.
    pub ticket: Address,
    /// `Portal`.
    pub portal: Address,
    /// `GasPriceOracle`.
    pub oracle: Address,
    /// `L1Bridge`.
    pub bridge: Address,
    /// `Slasher`.
    pub slasher: Address,
    /// `FeeSplitter`.
    pub fee_splitter: Address,
    /// `MiningRewards`.
    pub rewards: Address,
    /// `Rollup`.
    pub rollup: Address,
}

impl PlannedContracts {
    /// Each with its name.
    pub const fn named(&self) -> [(Contract, Address); 11] {
        [
            (Contract::Token, self.token),
            (Contract::Timelock, self.timelock),
            (Contract::SequencerPool, self.pool),
            (Contract::UnbondingTicket, self.ticket),
            (Contract::Portal, self.portal),
            (Contract::GasPriceOracle, self.oracle),
            (Contract::L1Bridge, self.bridge),
            (Contract::Slasher, self.slasher),
            (Contract::FeeSplitter, self.fee_splitter),
            (Contract::MiningRewards, self.rewards),
            (Contract::Rollup, self.rollup),
        ]
    }

    /// As the chain specification has them, with genesis' origin.
    pub const fn with_start(&self, start: L1Origin) -> L1Contracts {
        L1Contracts {
            start,
            token: self.token,
            portal: self.portal,
            rollup: self.rollup,
            pool: self.pool,
            ticket: self.ticket,
            slasher: self.slasher,
            rewards: self.rewards,
            fee_splitter: self.fee_splitter,
            timelock: self.timelock,
            bridge: self.bridge,
            oracle: self.oracle,
        }
    }
}

/// A transaction of a plan, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTransaction {
    /// Who sends it.
    pub from: Address,
    /// What it does.
    pub what: String,
    /// The contract it makes, and where.
    pub creates: Option<(Contract, Address)>,
    /// ETH that goes with it, wei.
    pub value: U256,
    /// Gas limit: what it takes is less.
    pub gas: u64,
}

/// One transaction to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What it does, for progress and errors.
    pub(crate) what: String,
    /// The contract it makes.
    pub(crate) creates: Option<Contract>,
    pub(crate) to: TxKind,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    /// Gas limit. Steps are sent before those they build on are mined, so that nothing can be estimated; unused gas is not paid.
    pub(crate) gas: u64,
}

/// Gas of a creation beside its code: transaction, constructor's storage, calls to other contracts.
const CREATE_GAS: u64 = 600_000;
/// Gas per byte of init code: calldata (16, floor price 40) and code deposit (200), with some room.
const CREATE_GAS_PER_BYTE: u64 = 260;
/// Transactions that fix the first committee: `rotate` and `seal`.
pub(crate) const FIXING_STEPS: usize = 2;
/// Gas of an ERC-20 transfer or approval.
const TOKEN_CALL_GAS: u64 = 150_000;
/// Gas of `MiningRewards.fund`.
const FUND_GAS: u64 = 250_000;
/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Gas of `lock`: one pairing check, a key page and ten slots.
const LOCK_GAS: u64 = 1_500_000;
/// Gas of the first `rotate`: fixed part and per member.
const ROTATE_GAS: u64 = 1_500_000;
const ROTATE_GAS_PER_MEMBER: u64 = 200_000;
/// Gas of `seal`: fixed part and per member.
const SEAL_GAS: u64 = 1_000_000;
const SEAL_GAS_PER_MEMBER: u64 = 60_000;

impl Step {
    fn create(contract: Contract, code: &Bytes, arguments: &impl SolConstructor) -> Self {
        let input: Bytes = [code.as_ref(), arguments.abi_encode().as_slice()].concat().into();
        let gas = CREATE_GAS + CREATE_GAS_PER_BYTE * input.len() as u64;
        Self { what: format!("deploy {contract}"), creates: Some(contract), to: TxKind::Create, value: U256::ZERO, input, gas }
    }

    pub(crate) fn call(what: String, to: Address, call: &impl SolCall, gas: u64) -> Self {
        Self { what, creates: None, to: TxKind::Call(to), value: U256::ZERO, input: call.abi_encode().into(), gas }
    }
}

/// The order of the deployer's transactions and the addresses that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentPlan {
    pub(crate) params: ChainParams,
    pub(crate) l1_chain_id: u64,
    pub(crate) deployer: Address,
    pub(crate) first_nonce: u64,
    pub(crate) contracts: PlannedContracts,
    pub(crate) token_name: String,
    pub(crate) token_symbol: String,
    pub(crate) token_supply: U256,
    /// Owner and stake of each genesis sequencer.
    pub(crate) owners: Vec<(Address, u128)>,
    /// The deployer's transactions before the locks.
    pub(crate) prepare: Vec<Step>,
}

impl DeploymentPlan {
    /// Plans the deployment by `deployer`, whose next transaction has nonce `nonce`, with the locks of `owners` (owner and stake in
    /// wei). Pure: sends nothing, reads nothing.
    pub fn new(
        params: ChainParams,
        l1_chain_id: u64,
        deployer: Address,
        nonce: u64,
        owners: &[(Address, u128)],
    ) -> Result<Self, PlanError> {
        check(&params, owners)?;
        if let Some((owner, _)) = owners.iter().find(|(owner, _)| *owner == deployer) {
            return Err(PlanError::DeployerOwns(*owner));
        }
        ChainSpec::check_parameters(params.chain_id, l1_chain_id, &params.fees, &params.timing)?;
        let (token_name, token_symbol, token_supply) = match &params.token {
            TokenSource::Dev { supply } => ("Metis (dev)".to_owned(), "METIS".to_owned(), *supply),
            TokenSource::Existing { name, symbol, supply, .. } => (name.clone(), symbol.clone(), *supply),
        };
        let escrow: U256 = params.balances.values().sum();

        // The creations come first, in this order, so that their nonces do not depend on how many funds are handed out.
        let mut next = nonce;
        let mut create = || {
            next += 1;
            deployer.create(next - 1)
        };
        let token = match &params.token {
            TokenSource::Dev { .. } => create(),
            TokenSource::Existing { address, .. } => *address,
        };
        let (timelock, pool, ticket, portal) = (create(), create(), create(), create());
        let (oracle, bridge, slasher, fee_splitter) = (create(), create(), create(), create());

        let mut funds = Vec::new();
        let mut pay = |to: Address, amount: U256, why: &str| {
            if !amount.is_zero() {
                let call = OceanidToken::transferCall { to, value: amount };
                funds.push(Step::call(format!("transfer gas tokens to {to} ({why})"), token, &call, TOKEN_CALL_GAS));
            }
        };
        pay(portal, escrow, "escrow of the genesis balances");
        for (owner, amount) in owners {
            pay(*owner, U256::from(*amount), "stake");
        }
        for (account, amount) in &params.l1_balances {
            pay(*account, *amount, "L1 balance");
        }
        if !params.owner_gas.is_zero() {
            funds.extend(owners.iter().map(|(owner, _)| Step {
                what: format!("transfer ETH to {owner} (gas)"),
                creates: None,
                to: TxKind::Call(*owner),
                value: params.owner_gas,
                input: Bytes::new(),
                gas: TRANSFER_GAS,
            }));
        }
        // After the funds: rotate() and seal(), then what depends on genesis.
        let conclude = next + (funds.len() + FIXING_STEPS) as u64;
        let (rewards, rollup) = (deployer.create(conclude), deployer.create(conclude + 1));
        let contracts =
            PlannedContracts { token, timelock, pool, ticket, portal, oracle, bridge, slasher, fee_splitter, rewards, rollup };

        let mut plan = Self {
            params: ChainParams { governance: resolve(params.governance, deployer), ..params },
            l1_chain_id,
            deployer,
            first_nonce: nonce,
            contracts,
            token_name,
            token_symbol,
            token_supply,
            owners: owners.to_vec(),
            prepare: Vec::new(),
        };
        let needed = plan.tokens_needed();
        if needed > plan.token_supply {
            return Err(PlanError::Supply { needed, supply: plan.token_supply });
        }
        plan.prepare = plan.creations();
        plan.prepare.extend(funds);
        // Whether there can be a genesis does not depend on who sits in the committee.
        plan.genesis(&Committee { id: 1, seed: B256::ZERO, members: Vec::new() }, 0)?;
        Ok(plan)
    }

    /// The accounts of genesis, which begins at `timestamp` (seconds) with `committee`.
    pub(crate) fn genesis(
        &self,
        committee: &Committee,
        timestamp: u64,
    ) -> Result<BTreeMap<Address, GenesisAccount>, GenesisError> {
        let (params, contracts) = (&self.params, &self.contracts);
        genesis::alloc(&GenesisInput {
            pool: contracts.pool,
            oracle: contracts.oracle,
            bridge: contracts.bridge,
            rewards: contracts.rewards,
            fee_splitter: contracts.fee_splitter,
            max_paid_gap: params.timing.max_paid_gap(),
            timestamp,
            gas_token_ratio: params.gas_token_ratio,
            token_name: &self.token_name,
            token_symbol: &self.token_symbol,
            token_supply: self.token_supply,
            committee,
            balances: &params.balances,
        })
    }

    /// Every transaction, in the order in which they are sent.
    pub fn outline(&self) -> Vec<PlannedTransaction> {
        let mut nonce = self.first_nonce;
        let mut by_deployer = |step: Step| {
            nonce += 1;
            let creates = step.creates.map(|contract| (contract, self.deployer.create(nonce - 1)));
            PlannedTransaction { from: self.deployer, what: step.what, creates, value: step.value, gas: step.gas }
        };
        let mut all: Vec<_> = self.prepare.iter().cloned().map(&mut by_deployer).collect();
        for (owner, _) in &self.owners {
            let [approve, lock] = lock_names(*owner);
            for (what, gas) in [(approve, TOKEN_CALL_GAS), (lock, LOCK_GAS)] {
                all.push(PlannedTransaction { from: *owner, what, creates: None, value: U256::ZERO, gas });
            }
        }
        // What `Rollup` is told is not known yet; its length is.
        let unknown = Rollup::Config {
            pool: self.contracts.pool,
            genesisHash: B256::ZERO,
            genesisOutputRoot: B256::ZERO,
            genesisTimestamp: 0,
            genesisOrigin: 0,
            genesisCommittee: 1,
            l2ChainId: self.params.chain_id,
            epochLength: self.params.timing.epoch_length,
            window: self.params.timing.challenge_window,
            maxOriginLag: self.params.timing.max_origin_lag,
            stallTimeout: self.params.timing.stall_timeout,
            submissionInterval: self.params.submission_interval,
            l2BlockTime: 1,
        };
        let members = self.owners.len();
        let unchosen =
            SequencerPool::CommitteeChosen { id: 1, sealBlock: U256::ZERO, packedMembers: Bytes::new(), code: Bytes::new() };
        let fixing = [self.rotate(members), self.seal(Bytes::new(), unchosen, members)];
        all.extend(fixing.into_iter().chain(self.conclude(0, unknown)).map(by_deployer));
        all
    }

    /// Wei of the gas token that the deployer needs.
    pub fn tokens_needed(&self) -> U256 {
        let locks: U256 = self.owners.iter().map(|(_, amount)| U256::from(*amount)).sum();
        let handed_out: U256 = self.params.balances.values().chain(self.params.l1_balances.values()).sum();
        locks + handed_out + self.params.economics.mining.budget
    }

    /// Addresses of the contracts.
    pub const fn contracts(&self) -> &PlannedContracts {
        &self.contracts
    }

    /// The choices, with the deployer filled in where nobody is named.
    pub const fn params(&self) -> &ChainParams {
        &self.params
    }

    /// The account that deploys.
    pub const fn deployer(&self) -> Address {
        self.deployer
    }

    /// Chain id of the L1 this was planned for.
    pub const fn l1_chain_id(&self) -> u64 {
        self.l1_chain_id
    }

    fn creations(&self) -> Vec<Step> {
        let PlannedContracts { token, timelock, pool, ticket, portal, oracle, slasher, rewards, rollup, .. } = self.contracts;
        let ChainParams { economics, governance, .. } = &self.params;
        let mut steps = Vec::new();
        if let TokenSource::Dev { supply } = self.params.token {
            let arguments = OceanidToken::constructorCall { holder: self.deployer, supply };
            steps.push(Step::create(Contract::Token, &OceanidToken::BYTECODE, &arguments));
        }
        let floor = U256::from(economics.timelock_delay);
        let pool_config = SequencerPool::Config {
            token,
            portal,
            ticket,
            slasher,
            rewards,
            governor: timelock,
            minLock: economics.pool.min_lock,
            maxLock: economics.pool.max_lock,
            unbondingPeriod: economics.pool.unbonding_period,
            rotationInterval: economics.pool.rotation_interval,
            sealDelay: economics.pool.seal_delay,
            maxCommittee: economics.pool.max_committee,
            jailPeriod: economics.pool.jail_period,
            reporterShareBps: economics.pool.reporter_share_bps,
            insurance: governance.insurance,
        };
        let penalty = |Penalty { bps, minimum }| Slasher::Penalty { bps, minimum };
        let slasher_config = Slasher::Config {
            pool,
            rollup,
            governor: timelock,
            equivocation: penalty(economics.penalties.equivocation),
            fork: penalty(economics.penalties.fork),
            invalidOutput: penalty(economics.penalties.invalid_output),
            withheldData: penalty(economics.penalties.withheld_data),
        };
        let splitter_config = FeeSplitter::Config {
            token,
            rewards,
            rollup,
            oracle,
            governor: timelock,
            treasury: governance.treasury,
            sequencersBps: economics.fee_split.sequencers_bps,
            postersBps: economics.fee_split.posters_bps,
            treasuryBps: economics.fee_split.treasury_bps,
        };
        let oracle_arguments = GasPriceOracle::constructorCall {
            portal,
            updater: governance.oracle_updater,
            initialRatio: self.params.gas_token_ratio,
            minInterval: U256::from(self.params.oracle_interval),
        };
        steps.extend([
            Step::create(
                Contract::Timelock,
                &Timelock::BYTECODE,
                &Timelock::constructorCall { floor, proposers: governance.proposers.clone() },
            ),
            Step::create(
                Contract::SequencerPool,
                &SequencerPool::BYTECODE,
                &SequencerPool::constructorCall { config: pool_config },
            ),
            Step::create(Contract::UnbondingTicket, &UnbondingTicket::BYTECODE, &UnbondingTicket::constructorCall { pool }),
            Step::create(
                Contract::Portal,
                &Portal::BYTECODE,
                &Portal::constructorCall { token, rollup, sequencerPool: pool, gasPriceOracle: oracle },
            ),
            Step::create(Contract::GasPriceOracle, &GasPriceOracle::BYTECODE, &oracle_arguments),
            Step::create(Contract::L1Bridge, &L1Bridge::BYTECODE, &L1Bridge::constructorCall { portal, gasToken: token }),
            Step::create(Contract::Slasher, &Slasher::BYTECODE, &Slasher::constructorCall { config: slasher_config }),
            Step::create(
                Contract::FeeSplitter,
                &FeeSplitter::BYTECODE,
                &FeeSplitter::constructorCall { config: splitter_config },
            ),
        ]);
        steps
    }

    /// Nonce of the first transaction after the locks.
    pub(crate) fn nonce_of_rotate(&self) -> u64 {
        self.first_nonce + self.prepare.len() as u64
    }

    /// What an owner sends.
    pub(crate) fn lock(&self, registration: &SequencerRegistration) -> [Step; 2] {
        let owner = registration.owner.address();
        let amount = U256::from(registration.amount);
        let approve = OceanidToken::approveCall { spender: self.contracts.pool, value: amount };
        let lock = SequencerPool::lockCall {
            keys: SequencerPool::Keys {
                identity: registration.identity,
                consensusKey: registration.consensus_key.to_vec().into(),
            },
            possession: registration.possession.to_vec().into(),
            amount,
            recipient: owner,
            poster: registration.poster,
        };
        let [approving, locking] = lock_names(owner);
        [
            Step::call(approving, self.contracts.token, &approve, TOKEN_CALL_GAS),
            Step::call(locking, self.contracts.pool, &lock, LOCK_GAS),
        ]
    }

    /// Nonce of the first transaction after the committee is fixed.
    pub(crate) fn nonce_of_conclusion(&self) -> u64 {
        self.nonce_of_rotate() + FIXING_STEPS as u64
    }

    /// The first rotation.
    pub(crate) fn rotate(&self, members: usize) -> Step {
        let gas = ROTATE_GAS + ROTATE_GAS_PER_MEMBER * members as u64;
        Step::call("choose the first committee".to_owned(), self.contracts.pool, &SequencerPool::rotateCall {}, gas)
    }

    /// The seal of what it chose, by the RLP of the seal block's header.
    pub(crate) fn seal(&self, header: Bytes, chosen: SequencerPool::CommitteeChosen, members: usize) -> Step {
        let gas = SEAL_GAS + SEAL_GAS_PER_MEMBER * members as u64;
        let call = SequencerPool::sealCall { header, packedMembers: chosen.packedMembers, code: chosen.code };
        Step::call("seal the first committee".to_owned(), self.contracts.pool, &call, gas)
    }

    /// The contracts that need genesis, which began at `genesis_timestamp` (seconds), and the budget.
    pub(crate) fn conclude(&self, genesis_timestamp: u64, rollup: Rollup::Config) -> Vec<Step> {
        let PlannedContracts { token, timelock, pool, portal, fee_splitter, rewards, .. } = self.contracts;
        let mining = &self.params.economics.mining;
        let (rule, parameter) = match mining.rule {
            EmissionRule::TargetApr(bps) => (0, u128::from(bps)),
            EmissionRule::FixedPerBlock(wei) => (1, wei),
            EmissionRule::Curve(k) => (2, k),
        };
        let config = MiningRewards::Config {
            token,
            pool,
            rollup: self.contracts.rollup,
            portal,
            splitter: fee_splitter,
            governor: timelock,
            rule,
            ruleParameter: parameter,
            taperPeriod: mining.taper_period,
            jailThresholdBps: mining.jail_threshold_bps,
            jailEpochs: mining.jail_epochs,
            firstEpochStart: genesis_timestamp,
        };
        let mut steps = vec![
            Step::create(Contract::MiningRewards, &MiningRewards::BYTECODE, &MiningRewards::constructorCall { config }),
            Step::create(Contract::Rollup, &Rollup::BYTECODE, &Rollup::constructorCall { config: rollup }),
        ];
        let amount = mining.budget;
        if !amount.is_zero() {
            let approve = OceanidToken::approveCall { spender: rewards, value: amount };
            steps.push(Step::call("approve the mining budget".to_owned(), token, &approve, TOKEN_CALL_GAS));
            let fund = MiningRewards::fundCall { amount };
            steps.push(Step::call("fund the mining budget".to_owned(), rewards, &fund, FUND_GAS));
        }
        steps
    }
}

/// What the two steps of an owner are called.
fn lock_names(owner: Address) -> [String; 2] {
    [format!("approve the stake of {owner}"), format!("lock the stake of {owner}")]
}

/// Fills in the deployer where nobody is named.
fn resolve(governance: Governance, deployer: Address) -> Governance {
    let or_deployer = |account: Address| if account.is_zero() { deployer } else { account };
    let proposers = if governance.proposers.is_empty() { vec![deployer] } else { governance.proposers };
    Governance {
        proposers,
        treasury: or_deployer(governance.treasury),
        insurance: governance.insurance,
        oracle_updater: or_deployer(governance.oracle_updater),
    }
}

/// The limits that the contracts would enforce later and dearer, with the same names.
fn check(params: &ChainParams, owners: &[(Address, u128)]) -> Result<(), PlanError> {
    let range = |field, value, limit, good: bool| if good { Ok(()) } else { Err(PlanError::Range { field, value, limit }) };
    let (economics, window) = (&params.economics, params.timing.challenge_window);
    let pool = &economics.pool;
    range("minLock", pool.min_lock, "at least 1 and at most maxLock", pool.min_lock >= 1 && pool.min_lock <= pool.max_lock)?;
    let seats = usize::from(pool.max_committee);
    range("maxCommittee", seats as u128, "1 to 100 seats", (1..=MAX_COMMITTEE).contains(&seats))?;
    range(
        "sequencers",
        owners.len() as u128,
        "at least 1 and at most maxCommittee",
        !owners.is_empty() && owners.len() <= seats,
    )?;
    for (_, amount) in owners {
        range("lock", *amount, "between minLock and maxLock", (pool.min_lock..=pool.max_lock).contains(amount))?;
    }
    let (jail, unbonding) = (pool.jail_period, pool.unbonding_period);
    range("jailPeriod", u128::from(jail), "at most unbondingPeriod", jail <= unbonding)?;
    range("reporterShareBps", u128::from(pool.reporter_share_bps), "at most 5000", pool.reporter_share_bps <= 5_000)?;
    range("sealDelay", u128::from(pool.seal_delay), "2 to 64 L1 blocks", (2..=64).contains(&pool.seal_delay))?;
    let penalties = &economics.penalties;
    for (field, penalty) in [
        ("equivocation", penalties.equivocation),
        ("fork", penalties.fork),
        ("invalidOutput", penalties.invalid_output),
        ("withheldData", penalties.withheld_data),
    ] {
        range(field, u128::from(penalty.bps), "at most 10000 basis points", penalty.bps <= 10_000)?;
    }
    let mining = &economics.mining;
    if let EmissionRule::TargetApr(bps) = mining.rule {
        range("targetApr", u128::from(bps), "at most 10000 basis points", bps <= 10_000)?;
    }
    range("taperPeriod", u128::from(mining.taper_period), "at least 1 second", mining.taper_period >= 1)?;
    let threshold = mining.jail_threshold_bps;
    range("jailThresholdBps", u128::from(threshold), "1 to 10000", (1..=10_000).contains(&threshold))?;
    range("jailEpochs", u128::from(mining.jail_epochs), "at least 1", mining.jail_epochs >= 1)?;
    let split = &economics.fee_split;
    let shares = u32::from(split.sequencers_bps) + u32::from(split.posters_bps) + u32::from(split.treasury_bps);
    range("feeSplit", u128::from(shares), "at most 10000 basis points together", shares <= 10_000)?;
    let delay = economics.timelock_delay;
    let notice = "longer than challengeWindow, 16 times rotationInterval and unbondingPeriod together";
    range("timelockDelay", u128::from(delay), notice, delay > economics.notice(window))?;
    range("gasTokenRatio", 0, "above zero", !params.gas_token_ratio.is_zero())?;
    range("submissionInterval", u128::from(params.submission_interval), "at least 1 block", params.submission_interval >= 1)?;
    if let TokenSource::Existing { name, symbol, .. } = &params.token {
        for (field, text) in [("name", name), ("symbol", symbol)] {
            if text.len() > MAX_SHORT_STRING {
                return Err(PlanError::LongText { field, length: text.len() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::params::{Economics, Preset};
    use super::*;
    use oceanid_primitives::{FeeParams, L1DataFee, Timing};

    fn economics() -> Economics {
        let mut economics = Preset::Dev.economics();
        (economics.pool.min_lock, economics.pool.max_lock, economics.pool.max_committee) = (10, 100, 4);
        economics.mining.budget = U256::from(1_000);
        economics
    }

    pub(crate) fn params() -> ChainParams {
        ChainParams {
            name: "test".into(),
            chain_id: 7,
            fees: FeeParams {
                gas_limit: 30_000_000,
                elasticity: 2,
                denominator: 8,
                initial_base_fee: 1_000_000,
                min_base_fee: 1_000,
            },
            l1_data_fee: L1DataFee::default(),
            timing: Timing {
                block_time_ms: 500,
                heartbeat_ms: 10_000,
                epoch_length: 60,
                origin_depth: Some(1),
                max_origin_lag: 600,
                max_origin_advance: 16,
                max_clock_drift: 5,
                challenge_window: 10,
                stall_timeout: 60,
            },
            token: TokenSource::Dev { supply: U256::from(1_000_000) },
            economics: economics(),
            governance: Governance::default(),
            gas_token_ratio: U256::from(1),
            oracle_interval: 1,
            submission_interval: 2,
            balances: BTreeMap::from([(Address::repeat_byte(0xaa), U256::from(500))]),
            l1_balances: BTreeMap::from([(Address::repeat_byte(0xaa), U256::from(300))]),
            owner_gas: U256::from(1),
        }
    }

    const DEPLOYER: Address = Address::repeat_byte(0xdd);

    fn owners() -> Vec<(Address, u128)> {
        vec![(Address::repeat_byte(1), 10), (Address::repeat_byte(2), 20)]
    }

    #[test]
    fn addresses_follow_from_the_order_of_the_steps() {
        let plan = DeploymentPlan::new(params(), 1, DEPLOYER, 5, &owners()).unwrap();
        let creations: Vec<u64> =
            plan.prepare.iter().enumerate().filter(|(_, step)| step.to.is_create()).map(|(index, _)| 5 + index as u64).collect();
        let planned = plan.contracts();
        let expected: Vec<Address> = creations.iter().map(|nonce| DEPLOYER.create(*nonce)).collect();
        let named = planned.named().map(|(_, address)| address);
        assert_eq!(expected, named[..named.len() - 2]);
        assert_eq!(planned.rewards, DEPLOYER.create(plan.nonce_of_conclusion()));
        assert_eq!(planned.rollup, DEPLOYER.create(plan.nonce_of_conclusion() + 1));
    }

    #[test]
    fn the_outline_names_every_transaction_and_every_address() {
        let plan = DeploymentPlan::new(params(), 1, DEPLOYER, 5, &owners()).unwrap();
        let outline = plan.outline();
        assert_eq!(outline.len(), plan.prepare.len() + 2 * plan.owners.len() + FIXING_STEPS + 4);
        let made: Vec<_> = outline.iter().filter_map(|transaction| transaction.creates).collect();
        assert_eq!(made, plan.contracts().named());
        assert_eq!(outline.iter().filter(|transaction| transaction.from != DEPLOYER).count(), 2 * plan.owners.len());
    }

    #[test]
    fn an_existing_token_takes_no_nonce() {
        let address = Address::repeat_byte(0x77);
        let token =
            TokenSource::Existing { address, name: "Metis".into(), symbol: "METIS".into(), supply: U256::from(1_000_000) };
        let plan = DeploymentPlan::new(ChainParams { token, ..params() }, 1, DEPLOYER, 0, &owners()).unwrap();
        assert_eq!(plan.contracts().token, address);
        assert_eq!(plan.contracts().timelock, DEPLOYER.create(0));
    }

    #[test]
    fn the_escrow_equals_the_genesis_balances() {
        let plan = DeploymentPlan::new(params(), 1, DEPLOYER, 0, &owners()).unwrap();
        let escrow: U256 = plan
            .prepare
            .iter()
            .filter_map(|step| OceanidToken::transferCall::abi_decode(&step.input).ok())
            .filter(|transfer| transfer.to == plan.contracts().portal)
            .map(|transfer| transfer.value)
            .sum();
        assert_eq!(escrow, params().balances.values().sum::<U256>());
    }

    /// Whoever starts to leave when a change is announced has been paid before it counts. (30 days and 10 minutes were too short.)
    #[test]
    fn presets_announce_changes_before_the_slowest_exit_is_paid() {
        for preset in [Preset::Dev, Preset::Metis] {
            let economics = preset.economics();
            assert!(economics.timelock_delay > economics.notice(preset.challenge_window()), "{preset}");
        }
    }

    #[test]
    fn limits_are_named() {
        let refused = |change: &dyn Fn(&mut ChainParams), owners: &[(Address, u128)]| {
            let mut params = params();
            change(&mut params);
            match DeploymentPlan::new(params, 1, DEPLOYER, 0, owners) {
                Err(PlanError::Range { field, .. } | PlanError::LongText { field, .. }) => field,
                Err(PlanError::Supply { .. }) => "supply",
                Err(PlanError::Spec(SpecError::Range { field, .. })) => field,
                Err(PlanError::DeployerOwns(_)) => "deployer",
                Err(PlanError::Genesis(GenesisError::FundedPredeploy(_))) => "balances",
                Err(other) => panic!("{other}"),
                Ok(_) => "none",
            }
        };
        let two = owners();
        assert_eq!(refused(&|_| (), &two), "none");
        assert_eq!(refused(&|params| params.economics.pool.min_lock = 0, &two), "minLock");
        assert_eq!(refused(&|params| params.economics.pool.max_committee = 101, &two), "maxCommittee");
        assert_eq!(refused(&|params| params.economics.pool.max_committee = 1, &two), "sequencers");
        assert_eq!(refused(&|_| (), &[]), "sequencers");
        assert_eq!(refused(&|_| (), &[(DEPLOYER, 101)]), "lock");
        assert_eq!(refused(&|_| (), &[(DEPLOYER, 100)]), "deployer");
        assert_eq!(refused(&|params| params.chain_id = 0, &two), "chainId");
        assert_eq!(refused(&|params| params.timing.epoch_length = 3, &two), "timing.epochLength");
        let predeploy = oceanid_primitives::predeploys::FEE_VAULT;
        assert_eq!(refused(&|params| params.balances = [(predeploy, U256::from(1))].into(), &two), "balances");
        assert_eq!(refused(&|params| params.economics.pool.jail_period = 301, &two), "jailPeriod");
        assert_eq!(refused(&|params| params.economics.pool.reporter_share_bps = 5_001, &two), "reporterShareBps");
        assert_eq!(refused(&|params| params.chain_id = 1, &two), "chainId", "that of L1");
        assert_eq!(refused(&|params| params.economics.pool.seal_delay = 1, &two), "sealDelay");
        assert_eq!(refused(&|params| params.economics.pool.seal_delay = 65, &two), "sealDelay");
        assert_eq!(refused(&|params| params.economics.penalties.fork.bps = 10_001, &two), "fork");
        assert_eq!(refused(&|params| params.economics.mining.rule = EmissionRule::TargetApr(10_001), &two), "targetApr");
        assert_eq!(refused(&|params| params.economics.mining.taper_period = 0, &two), "taperPeriod");
        assert_eq!(refused(&|params| params.economics.mining.jail_threshold_bps = 0, &two), "jailThresholdBps");
        assert_eq!(refused(&|params| params.economics.mining.jail_epochs = 0, &two), "jailEpochs");
        assert_eq!(refused(&|params| params.economics.fee_split.posters_bps += 1, &two), "feeSplit");
        assert_eq!(refused(&|params| params.economics.timelock_delay = 630, &two), "timelockDelay");
        assert_eq!(refused(&|params| params.economics.timelock_delay = 631, &two), "none");
        assert_eq!(refused(&|params| params.gas_token_ratio = U256::ZERO, &two), "gasTokenRatio");
        // Escrow 500, locks 30, L1 balances 300, mining budget 1,000.
        assert_eq!(refused(&|params| params.token = TokenSource::Dev { supply: U256::from(1_829) }, &two), "supply");
    }
}
