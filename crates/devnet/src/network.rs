//! The development chain: its parameters, its sequencers' keys, and its deployment on the embedded L1 or on another.

use crate::accounts::{self, MAX_DEV_SEQUENCERS, ether};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use alloy_provider::{Provider, RootProvider};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_transport::TransportError;
use oceanid_contracts::deploy::{
    self, ChainParams, DeployError, Deployment, DeploymentPlan, Governance, PlanError, Preset, SequencerRegistration, TokenSource,
};
use oceanid_contracts::probe::{ProbeError, probe};
use oceanid_primitives::{DEV_CHAIN_ID, FeeParams, L1DataFee, Timing};
use oceanid_sequencer::{KeyError, NodeKeys};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Native METIS of each development account on Layer 2, and METIS on L1 besides, whole tokens: enough for the largest lock.
pub const DEV_TOKENS: u64 = 100_000;
/// Stake of each development sequencer, whole tokens.
pub const STAKE: u64 = 20_000;
/// Supply of the development token, whole tokens (that of METIS).
const SUPPLY: u64 = 10_000_000;
/// ETH for each owner's two transactions and for each batcher, whole ETH.
const OWNER_ETH: u64 = 1;
const BATCHER_ETH: u64 = 100;
/// ETH that the deployer should have on an L1 that does not know it, whole ETH.
const DEPLOYER_ETH: u64 = 2_500;
/// The deployer is funded by a development account when it has less than this, whole ETH.
const DEPLOYER_MIN_ETH: u64 = 50;
/// A development L1 without a new block for so long is asked for one during the deployment.
const QUIET_L1: Duration = Duration::from_millis(1_100);
/// Longest wait for the deployer's funds.
const FUND_TIMEOUT: Duration = Duration::from_secs(60);

/// What a person may choose about a development chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DevOptions {
    /// Stake, rewards, slashing, fees.
    pub preset: Preset,
    /// Number of sequencers, 1 to [`MAX_DEV_SEQUENCERS`].
    pub sequencers: u32,
    /// Milliseconds between blocks under load.
    pub block_time_ms: u64,
    /// Milliseconds after which an empty block is made.
    pub heartbeat_ms: u64,
    /// Blocks in an epoch.
    pub epoch_length: u64,
    /// Seconds after which an output is final.
    pub challenge_window: u64,
    /// Seconds between the issue of a ticket and its claim.
    pub unbonding_period: u64,
    /// Seconds between rotations.
    pub rotation_interval: u64,
    /// Seconds in jail before the owner may come back, at most the unbonding period.
    pub jail_period: u64,
    /// Seconds without a fresh batch after which the newest committee may take over.
    pub stall_timeout: u64,
}

impl Default for DevOptions {
    fn default() -> Self {
        Self::of(Preset::default())
    }
}

impl DevOptions {
    /// Four sequencers under that preset.
    pub const fn of(preset: Preset) -> Self {
        Self {
            preset,
            sequencers: 4,
            block_time_ms: 500,
            heartbeat_ms: 10_000,
            epoch_length: preset.epoch_length(),
            challenge_window: preset.challenge_window(),
            unbonding_period: preset.economics().pool.unbonding_period,
            rotation_interval: preset.economics().pool.rotation_interval,
            jail_period: preset.economics().pool.jail_period,
            stall_timeout: preset.stall_timeout(),
        }
    }
}

/// Why there is no development chain.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The L1's URL.
    #[error("`{0}` is not an http URL of an L1")]
    Url(String),
    /// Too many or no sequencers.
    #[error("{0} sequencers: must be 1 to {MAX_DEV_SEQUENCERS}")]
    Sequencers(u32),
    /// The L1 is not fit.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// No plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No deployment.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// Funding the deployer failed.
    #[error("L1, while funding the deployer: {0}")]
    L1(#[from] TransportError),
    /// Nobody can pay.
    #[error(
        "none of the development accounts has {DEPLOYER_ETH} ETH on this L1 to pay for the deployment: start it with the mnemonic `{}`",
        accounts::MNEMONIC
    )]
    NoFunds,
    /// The funds did not arrive.
    #[error("the deployer's funds were not mined within {} s: is L1 making blocks?", FUND_TIMEOUT.as_secs())]
    FundsNotMined,
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Secrets of one development sequencer. Public knowledge, like the accounts' keys.
#[derive(Clone, Debug)]
pub struct DevSequencer {
    /// Seed of the ed25519 identity key.
    pub identity_seed: [u8; 32],
    /// Seed of the BLS12-381 consensus key.
    pub bls_seed: [u8; 32],
    /// Both keys.
    pub keys: NodeKeys,
    /// Owner of the lock.
    pub owner: PrivateKeySigner,
    /// Pays for batches.
    pub poster: PrivateKeySigner,
}

impl DevSequencer {
    /// Sequencer `index` (from 0): the same keys in every network.
    pub fn new(index: u32) -> Result<Self, DevError> {
        let seed = |role: &str| keccak256(format!("oceanid development sequencer {index}, {role}")).0;
        let (identity_seed, bls_seed) = (seed("identity"), seed("consensus"));
        Ok(Self {
            identity_seed,
            bls_seed,
            keys: NodeKeys::from_seeds(&identity_seed, &bls_seed)?,
            owner: accounts::sequencer_owner(index),
            poster: accounts::batcher(index),
        })
    }

    fn registration(&self, l1_chain_id: u64, pool: Address) -> SequencerRegistration {
        let owner = self.owner.address();
        SequencerRegistration {
            owner: self.owner.clone(),
            identity: self.keys.identity(),
            consensus_key: self.keys.bls_eip2537(),
            possession: self.keys.possession(l1_chain_id, pool, owner),
            amount: ether(STAKE).to(),
            poster: self.poster.address(),
        }
    }
}

/// The first `count` development sequencers.
pub fn dev_sequencers(count: u32) -> Result<Vec<DevSequencer>, DevError> {
    if count == 0 || count > MAX_DEV_SEQUENCERS {
        return Err(DevError::Sequencers(count));
    }
    (0..count).map(DevSequencer::new).collect()
}

/// Parameters of the development chain.
pub fn chain_params(options: &DevOptions) -> ChainParams {
    let tokens: BTreeMap<Address, U256> =
        accounts::dev_signers().iter().map(|signer| (signer.address(), ether(DEV_TOKENS))).collect();
    let mut economics = options.preset.economics();
    economics.pool.unbonding_period = options.unbonding_period;
    economics.pool.rotation_interval = options.rotation_interval;
    economics.pool.jail_period = options.jail_period.min(options.unbonding_period);
    economics.timelock_delay = economics.timelock_delay.max(economics.notice(options.challenge_window).saturating_add(1));
    ChainParams {
        name: "oceanid-dev".to_owned(),
        chain_id: DEV_CHAIN_ID,
        fees: FeeParams {
            gas_limit: 200_000_000,
            elasticity: 6,
            denominator: 50,
            initial_base_fee: 1_000_000_000,
            min_base_fee: 1_000_000,
        },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms: options.block_time_ms,
            heartbeat_ms: options.heartbeat_ms.max(options.block_time_ms),
            epoch_length: options.epoch_length,
            origin_depth: Some(1),
            max_origin_lag: 600,
            max_origin_advance: 64,
            max_clock_drift: 5,
            challenge_window: options.challenge_window,
            stall_timeout: options.stall_timeout,
        },
        token: TokenSource::Dev { supply: ether(SUPPLY) },
        economics,
        governance: Governance::default(),
        // 1 ETH is worth 200 METIS.
        gas_token_ratio: ether(200),
        oracle_interval: 60,
        submission_interval: 2,
        l1_balances: tokens.clone(),
        balances: tokens,
        owner_gas: ether(OWNER_ETH),
    }
}

/// A provider for `url`.
pub fn connect(url: &str) -> Result<RootProvider, DevError> {
    let parsed = url.parse().map_err(|_| DevError::Url(url.to_owned()))?;
    Ok(RootProvider::new_http(parsed))
}

/// Deploys the development chain on the L1 at `l1` (http URL) with the given sequencers; `progress` is told each stage. On an L1
/// other than the embedded one, the deployer is first funded by one of the development accounts.
pub async fn deploy_dev(
    l1: &str,
    options: &DevOptions,
    sequencers: &[DevSequencer],
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Deployment, DevError> {
    let provider = connect(l1)?;
    let l1_chain_id = probe(&provider, l1).await?;
    let deployer = accounts::deployer();
    fund_deployer(&provider, l1_chain_id, deployer.address()).await?;

    let nonce = provider.get_transaction_count(deployer.address()).await?;
    let stake: u128 = ether(STAKE).to();
    let owners: Vec<_> = sequencers.iter().map(|sequencer| (sequencer.owner.address(), stake)).collect();
    let plan = DeploymentPlan::new(chain_params(options), l1_chain_id, deployer.address(), nonce, &owners)?;
    let registrations: Vec<_> =
        sequencers.iter().map(|sequencer| sequencer.registration(l1_chain_id, plan.contracts().pool)).collect();
    let mut journal = Vec::new();
    let deployment = tokio::select! {
        deployment = deploy::execute(&provider, &deployer, &plan, &registrations, 0, &mut journal, progress) => deployment?,
        never = keep_blocks_coming(&provider) => match never {},
    };

    progress("funding the accounts that post batches");
    let posters: Vec<_> = sequencers.iter().map(|sequencer| sequencer.poster.address()).collect();
    send_ether(&provider, l1_chain_id, &deployer, &posters, ether(BATCHER_ETH)).await?;
    Ok(deployment)
}

/// Asks the L1 for a block whenever none came for a second: the first committee's seed is that of a block to come, and a development L1 may
/// make one in a minute, or none without a transaction. An L1 that takes no such orders refuses, and makes its blocks itself.
async fn keep_blocks_coming(provider: &RootProvider) -> Infallible {
    let mut seen = None;
    loop {
        let head = provider.get_block_number().await.ok();
        if head == seen {
            let _: Result<serde_json::Value, _> = provider.raw_request("evm_mine".into(), ()).await;
        }
        seen = head;
        sleep(QUIET_L1).await;
    }
}

/// Lets a development account pay the deployer where it has nothing.
async fn fund_deployer(provider: &RootProvider, l1_chain_id: u64, deployer: Address) -> Result<(), DevError> {
    if provider.get_balance(deployer).await? >= ether(DEPLOYER_MIN_ETH) {
        return Ok(());
    }
    // The last account first: people start with the first.
    for signer in accounts::dev_signers().iter().rev() {
        if provider.get_balance(signer.address()).await? > ether(DEPLOYER_ETH + 1) {
            return send_ether(provider, l1_chain_id, signer, &[deployer], ether(DEPLOYER_ETH)).await;
        }
    }
    Err(DevError::NoFunds)
}

/// Sends `amount` to each of `to` and waits until the last transaction is mined.
async fn send_ether(
    provider: &RootProvider,
    chain_id: u64,
    from: &PrivateKeySigner,
    to: &[Address],
    amount: U256,
) -> Result<(), DevError> {
    const TRANSFER_GAS: u64 = 21_000;
    const FEE_MARGIN: u128 = 2;
    let fees = provider.estimate_eip1559_fees().await?;
    let nonce = provider.get_transaction_count(from.address()).await?;
    let mut last = None;
    for (receiver, nonce) in to.iter().zip(nonce..) {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: TRANSFER_GAS,
            max_fee_per_gas: fees.max_fee_per_gas * FEE_MARGIN,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: TxKind::Call(*receiver),
            value: amount,
            access_list: Default::default(),
            input: Bytes::new(),
        };
        let signature = from.sign_hash_sync(&transaction.signature_hash()).expect("a local key signs any hash");
        let raw = alloy_consensus::TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        last = Some(*provider.send_raw_transaction(&raw).await?.tx_hash());
    }
    let Some(last) = last else { return Ok(()) };
    let deadline = Instant::now() + FUND_TIMEOUT;
    while provider.get_transaction_receipt(last).await?.is_none() {
        if Instant::now() >= deadline {
            return Err(DevError::FundsNotMined);
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequencers_have_keys_of_their_own_and_keep_them() {
        let sequencers = dev_sequencers(4).unwrap();
        let mut identities: Vec<_> = sequencers.iter().map(|sequencer| sequencer.keys.identity()).collect();
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), 4);
        assert_eq!(DevSequencer::new(2).unwrap().keys.identity(), sequencers[2].keys.identity());
        assert!(matches!(dev_sequencers(0), Err(DevError::Sequencers(0))));
        assert!(matches!(dev_sequencers(MAX_DEV_SEQUENCERS + 1), Err(DevError::Sequencers(_))));
    }

    #[test]
    fn the_largest_development_chain_can_be_planned() {
        let owners: Vec<_> = dev_sequencers(MAX_DEV_SEQUENCERS)
            .unwrap()
            .iter()
            .map(|sequencer| (sequencer.owner.address(), ether(STAKE).to::<u128>()))
            .collect();
        for preset in [Preset::Dev, Preset::Metis] {
            let params = chain_params(&DevOptions::of(preset));
            DeploymentPlan::new(params, 31_337, accounts::deployer().address(), 0, &owners).unwrap();
        }
    }

    #[test]
    fn a_development_account_can_lock() {
        for preset in [Preset::Dev, Preset::Metis] {
            let params = chain_params(&DevOptions::of(preset));
            assert_eq!(params.l1_balances.len(), accounts::DEV_ACCOUNTS as usize);
            let most = U256::from(params.economics.pool.max_lock);
            assert!(params.l1_balances.values().all(|balance| *balance >= most), "{balances:?}", balances = params.l1_balances);
        }
    }

    #[tokio::test]
    async fn an_l1_that_does_not_answer_is_named() {
        let url = "http://127.0.0.1:9";
        let error = deploy_dev(url, &DevOptions::default(), &dev_sequencers(1).unwrap(), &|_| ()).await.unwrap_err();
        assert!(error.to_string().contains(url) && error.to_string().contains("does not answer"), "{error}");
        assert!(matches!(connect("nonsense"), Err(DevError::Url(_))));
    }
}
