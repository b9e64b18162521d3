//! The deployment file: what a team decides about its chain. `template.toml` explains every key.

use crate::sequencer::whole;
use alloy_primitives::utils::parse_units;
use alloy_primitives::{Address, U256};
use eyre::{OptionExt, WrapErr, bail, ensure};
use oceanid_contracts::deploy::{
    ChainParams, Economics, EmissionRule, FeeSplit, Governance, MiningParams, Penalties, Penalty, PlanError, PoolParams,
    TokenSource,
};
use oceanid_contracts::genesis::GenesisError;
use oceanid_primitives::{DEV_CHAIN_ID, FeeParams, L1DataFee, SpecError, Timing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What `--init` writes.
pub(crate) const TEMPLATE: &str = include_str!("template.toml");
/// Most confirmations that are waited for: more would be hours.
const MAX_CONFIRMATIONS: u64 = 1_000;

/// A deployment file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct DeploymentFile {
    pub(crate) l1: L1Section,
    pub(crate) deployer: DeployerSection,
    pub(crate) chain: ChainSection,
    pub(crate) fees: FeesSection,
    pub(crate) token: TokenSection,
    pub(crate) stake: StakeSection,
    pub(crate) penalties: PenaltiesSection,
    pub(crate) mining: MiningSection,
    pub(crate) fee_split: FeeSplitSection,
    pub(crate) governance: GovernanceSection,
    pub(crate) oracle: OracleSection,
    #[serde(default)]
    pub(crate) balances: BTreeMap<Address, String>,
    pub(crate) sequencers: Vec<SequencerEntry>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct L1Section {
    pub(crate) http: String,
    pub(crate) chain_id: u64,
    pub(crate) confirmations: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct DeployerSection {
    pub(crate) account: PathBuf,
    pub(crate) password_file: Option<PathBuf>,
    owner_eth: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ChainSection {
    name: String,
    id: u64,
    block_time_ms: u64,
    heartbeat_ms: u64,
    epoch_length: u64,
    challenge_window_seconds: u64,
    stall_timeout_seconds: u64,
    origin_depth: Option<u64>,
    max_origin_lag: u64,
    max_origin_advance: u64,
    max_clock_drift_seconds: u64,
    submission_interval: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct FeesSection {
    gas_limit: u64,
    elasticity: u64,
    denominator: u64,
    initial_base_fee: u64,
    min_base_fee: u64,
    l1_calldata_scalar: u64,
    l1_blob_scalar: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TokenSection {
    pub(crate) address: Option<Address>,
    deploy: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StakeSection {
    min_lock: String,
    max_lock: String,
    seats: u16,
    rotation_seconds: u64,
    seal_delay: u16,
    unbonding_seconds: u64,
    jail_seconds: u64,
    reporter_share: u16,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PenaltiesSection {
    equivocation: u16,
    equivocation_minimum: String,
    fork: u16,
    invalid_output: u16,
    withheld_data: u16,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Rule {
    TargetApr,
    FixedPerBlock,
    Curve,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MiningSection {
    rule: Rule,
    value: String,
    budget: String,
    taper_seconds: u64,
    jail_threshold: u16,
    jail_epochs: u16,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct FeeSplitSection {
    sequencers: u16,
    posters: u16,
    treasury: u16,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct GovernanceSection {
    timelock_seconds: u64,
    #[serde(default)]
    proposers: Vec<Address>,
    #[serde(default)]
    treasury: Address,
    #[serde(default)]
    insurance: Address,
    #[serde(default)]
    oracle_updater: Address,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct OracleSection {
    ratio: String,
    interval_seconds: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SequencerEntry {
    pub(crate) keys: PathBuf,
    pub(crate) password_file: Option<PathBuf>,
    lock: String,
}

impl SequencerEntry {
    /// Stake, wei.
    pub(crate) fn lock(&self) -> eyre::Result<u128> {
        amount128("sequencers.lock", &self.lock)
    }
}

/// Keys of the file, by the names that the plan and the specification have for what they set.
const KEYS: [(&str, &str); 32] = [
    ("chainId", "chain.id"),
    ("l1ChainId", "l1.chain-id"),
    ("timing.blockTimeMs", "chain.block-time-ms"),
    ("timing.heartbeatMs", "chain.heartbeat-ms"),
    ("timing.epochLength", "chain.epoch-length"),
    ("timing.stallTimeout", "chain.stall-timeout-seconds"),
    ("timing.maxOriginLag", "chain.max-origin-lag"),
    ("timing.maxOriginAdvance", "chain.max-origin-advance"),
    ("challengeWindow", "chain.challenge-window-seconds"),
    ("submissionInterval", "chain.submission-interval"),
    ("fees.gasLimit", "fees.gas-limit"),
    ("fees.elasticity", "fees.elasticity"),
    ("fees.denominator", "fees.denominator"),
    ("minLock", "stake.min-lock"),
    ("maxLock", "stake.max-lock"),
    ("maxCommittee", "stake.seats"),
    ("rotationInterval", "stake.rotation-seconds"),
    ("sealDelay", "stake.seal-delay"),
    ("unbondingPeriod", "stake.unbonding-seconds"),
    ("jailPeriod", "stake.jail-seconds"),
    ("reporterShareBps", "stake.reporter-share"),
    ("equivocation", "penalties.equivocation"),
    ("fork", "penalties.fork"),
    ("invalidOutput", "penalties.invalid-output"),
    ("withheldData", "penalties.withheld-data"),
    ("targetApr", "mining.value"),
    ("taperPeriod", "mining.taper-seconds"),
    ("jailThresholdBps", "mining.jail-threshold"),
    ("jailEpochs", "mining.jail-epochs"),
    ("feeSplit", "fee-split"),
    ("timelockDelay", "governance.timelock-seconds"),
    ("gasTokenRatio", "oracle.ratio"),
];
/// As [`KEYS`], of amounts: the plan has them in wei, the file in whole tokens.
const AMOUNTS: [(&str, &str); 2] = [("minLock", "stake.min-lock"), ("lock", "sequencers.lock")];

/// A plan's refusal in the words of the file.
pub(crate) fn in_words_of_the_file(error: PlanError) -> eyre::Report {
    let (field, value, limit) = match error {
        PlanError::Range { field, value, limit } => (field, value, limit),
        PlanError::Spec(SpecError::Range { field, value, limit }) => (field, u128::from(value), limit),
        PlanError::Genesis(GenesisError::FundedPredeploy(account)) => {
            return eyre::eyre!("deployment: `balances` names {account}, which is a contract of genesis");
        }
        other => return other.into(),
    };
    let key = |name: &str| KEYS.iter().chain(&AMOUNTS).find(|(known, _)| *known == name).map(|(_, key)| *key);
    let value = if AMOUNTS.iter().any(|(name, _)| *name == field) { whole(U256::from(value)) } else { value.to_string() };
    let limit: Vec<String> = limit
        .split(' ')
        .map(|word| {
            let bare = word.trim_matches(['`', ',']);
            key(bare).map_or_else(|| word.to_owned(), |key| word.trim_matches('`').replace(bare, &format!("`{key}`")))
        })
        .collect();
    eyre::eyre!("deployment: `{}` is {value}, must be {}", key(field).unwrap_or(field), limit.join(" "))
}

/// Whole tokens in wei.
fn amount(field: &str, text: &str) -> eyre::Result<U256> {
    let units = parse_units(text, "ether").wrap_err_with(|| format!("deployment: `{field}` is \"{text}\", must be a number"))?;
    ensure!(!units.is_negative(), "deployment: `{field}` is \"{text}\", must be at least 0");
    Ok(units.get_absolute())
}

fn amount128(field: &str, text: &str) -> eyre::Result<u128> {
    u128::try_from(amount(field, text)?).ok().ok_or_else(|| eyre::eyre!("deployment: `{field}` is \"{text}\": too many tokens"))
}

impl DeploymentFile {
    /// Reads a file; relative paths in it are taken from its folder.
    pub(crate) fn read(path: &Path) -> eyre::Result<Self> {
        let text = std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        Self::parse(&text, folder).wrap_err_with(|| path.display().to_string())
    }

    pub(crate) fn parse(text: &str, folder: &Path) -> eyre::Result<Self> {
        let mut file: Self = toml::from_str(text).map_err(|error| eyre::eyre!("{}", error.to_string().trim_end()))?;
        let rebase = |path: &mut PathBuf| *path = folder.join(&*path);
        rebase(&mut file.deployer.account);
        file.deployer.password_file.as_mut().map(rebase);
        for sequencer in &mut file.sequencers {
            rebase(&mut sequencer.keys);
            sequencer.password_file.as_mut().map(rebase);
        }
        ensure!(file.chain.id != 0, "`chain.id` is 0: choose a chain id that nobody has");
        ensure!(
            file.chain.id != DEV_CHAIN_ID,
            "`chain.id` is {DEV_CHAIN_ID}, that of development chains, whose keys are public knowledge: choose another"
        );
        ensure!(
            file.l1.confirmations <= MAX_CONFIRMATIONS,
            "`l1.confirmations` is {}, must be at most {MAX_CONFIRMATIONS}",
            file.l1.confirmations
        );
        match (&file.token.address, &file.token.deploy) {
            (Some(address), None) => ensure!(!address.is_zero(), "`token.address` is zero: name the gas token on L1"),
            (None, Some(_)) => {}
            _ => bail!("`token` needs one of `address` and `deploy`"),
        }
        Ok(file)
    }

    /// What must stay as it is once a transaction was sent, by the names of the keys. Endpoints, files and passwords may change.
    pub(crate) fn decided(&self) -> eyre::Result<BTreeMap<String, String>> {
        let mut table = toml::Table::try_from(self)?;
        // Their identities, owners and stakes are compared by themselves.
        table.remove("sequencers");
        let mut decided = BTreeMap::new();
        for (section, value) in table {
            let toml::Value::Table(keys) = value else { continue };
            decided.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value.to_string())));
        }
        for free in ["l1.http", "l1.confirmations", "deployer.account", "deployer.password-file"] {
            decided.remove(free);
        }
        Ok(decided)
    }

    /// The parameters; `token` is what L1 says of an existing gas token: name, symbol, supply.
    pub(crate) fn params(&self, token: Option<(String, String, U256)>) -> eyre::Result<ChainParams> {
        let Self { chain, fees, stake, penalties, mining, fee_split, governance, oracle, .. } = self;
        let share = |bps: u16| Penalty { bps, minimum: 0 };
        let rule = match mining.rule {
            Rule::TargetApr => EmissionRule::TargetApr(
                mining
                    .value
                    .parse()
                    .ok()
                    .ok_or_eyre("deployment: `mining.value` must be 0 to 10000 basis points with \"target-apr\"")?,
            ),
            Rule::FixedPerBlock => EmissionRule::FixedPerBlock(amount128("mining.value", &mining.value)?),
            Rule::Curve => EmissionRule::Curve(amount128("mining.value", &mining.value)?),
        };
        let token = match (self.token.address, &self.token.deploy, token) {
            (Some(address), _, Some((name, symbol, supply))) => TokenSource::Existing { address, name, symbol, supply },
            (_, Some(supply), _) => TokenSource::Dev { supply: amount("token.deploy", supply)? },
            _ => bail!("L1 says nothing about the gas token"),
        };
        Ok(ChainParams {
            name: chain.name.clone(),
            chain_id: chain.id,
            fees: FeeParams {
                gas_limit: fees.gas_limit,
                elasticity: fees.elasticity,
                denominator: fees.denominator,
                initial_base_fee: fees.initial_base_fee,
                min_base_fee: fees.min_base_fee,
            },
            l1_data_fee: L1DataFee { calldata_scalar: fees.l1_calldata_scalar, blob_scalar: fees.l1_blob_scalar },
            timing: Timing {
                block_time_ms: chain.block_time_ms,
                heartbeat_ms: chain.heartbeat_ms,
                epoch_length: chain.epoch_length,
                origin_depth: chain.origin_depth,
                max_origin_lag: chain.max_origin_lag,
                max_origin_advance: chain.max_origin_advance,
                max_clock_drift: chain.max_clock_drift_seconds,
                challenge_window: chain.challenge_window_seconds,
                stall_timeout: chain.stall_timeout_seconds,
            },
            token,
            economics: Economics {
                pool: PoolParams {
                    min_lock: amount128("stake.min-lock", &stake.min_lock)?,
                    max_lock: amount128("stake.max-lock", &stake.max_lock)?,
                    unbonding_period: stake.unbonding_seconds,
                    rotation_interval: stake.rotation_seconds,
                    seal_delay: stake.seal_delay,
                    max_committee: stake.seats,
                    jail_period: stake.jail_seconds,
                    reporter_share_bps: stake.reporter_share,
                },
                penalties: Penalties {
                    equivocation: Penalty {
                        bps: penalties.equivocation,
                        minimum: amount128("penalties.equivocation-minimum", &penalties.equivocation_minimum)?,
                    },
                    fork: share(penalties.fork),
                    invalid_output: share(penalties.invalid_output),
                    withheld_data: share(penalties.withheld_data),
                },
                mining: MiningParams {
                    rule,
                    budget: amount("mining.budget", &mining.budget)?,
                    taper_period: mining.taper_seconds,
                    jail_threshold_bps: mining.jail_threshold,
                    jail_epochs: mining.jail_epochs,
                },
                fee_split: FeeSplit {
                    sequencers_bps: fee_split.sequencers,
                    posters_bps: fee_split.posters,
                    treasury_bps: fee_split.treasury,
                },
                timelock_delay: governance.timelock_seconds,
            },
            governance: Governance {
                proposers: governance.proposers.clone(),
                treasury: governance.treasury,
                insurance: governance.insurance,
                oracle_updater: governance.oracle_updater,
            },
            gas_token_ratio: amount("oracle.ratio", &oracle.ratio)?,
            oracle_interval: oracle.interval_seconds,
            submission_interval: chain.submission_interval,
            balances: self
                .balances
                .iter()
                .map(|(account, text)| Ok((*account, amount("balances", text)?)))
                .collect::<eyre::Result<_>>()?,
            l1_balances: BTreeMap::new(),
            owner_gas: amount("deployer.owner-eth", &self.deployer.owner_eth)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oceanid_contracts::deploy::{DeploymentPlan, Preset};

    fn filled() -> String {
        let token = Address::repeat_byte(7).to_string();
        TEMPLATE.replace("\nid = 0 ", "\nid = 4242 ").replace("0x0000000000000000000000000000000000000000", &token)
    }

    fn refused(from: &str, to: &str) -> String {
        let text = filled();
        assert!(text.contains(from), "{from}");
        let known = Some(("Metis".to_owned(), "METIS".to_owned(), U256::MAX >> 8));
        let plan = || -> eyre::Result<DeploymentPlan> {
            let file = DeploymentFile::parse(&text.replacen(from, to, 1), Path::new("/f"))?;
            let owners = [(Address::repeat_byte(1), file.sequencers[0].lock()?)];
            let plan = DeploymentPlan::new(file.params(known)?, file.l1.chain_id, Address::repeat_byte(2), 0, &owners);
            plan.map_err(in_words_of_the_file)
        };
        plan().map_or_else(|error| crate::one_line(&error), |_| "accepted".to_owned())
    }

    #[test]
    fn the_template_is_the_metis_preset_once_chain_and_token_are_named() {
        let file = DeploymentFile::parse(&filled(), Path::new("/f")).unwrap();
        let params = file.params(Some(("Metis".into(), "METIS".into(), U256::MAX))).unwrap();
        let mut expected = Preset::Metis.economics();
        expected.mining.budget = U256::ZERO;
        assert_eq!(params.economics, expected);
        assert_eq!(params.timing.epoch_length, Preset::Metis.epoch_length());
        assert_eq!(params.timing.challenge_window, Preset::Metis.challenge_window());
        assert_eq!(params.timing.stall_timeout, Preset::Metis.stall_timeout());
        assert_eq!(file.sequencers[0].keys, Path::new("/f/sequencer-1"), "paths are taken from the file's folder");
        assert_eq!(refused("confirmations = 12 ", "confirmations = 12 "), "accepted");
    }

    #[test]
    fn the_template_as_it_is_names_what_has_to_be_chosen() {
        let error = DeploymentFile::parse(TEMPLATE, Path::new("/f")).unwrap_err().to_string();
        assert!(error.contains("`chain.id`"), "{error}");
    }

    #[test]
    fn a_mistake_is_refused_by_the_name_of_its_key() {
        for (from, to, expected) in [
            ("seats = 100", "seat = 100", "unknown field `seat`"),
            ("[oracle]", "[orakel]", "unknown field `orakel`"),
            ("seats = 100", "seats = 101", "`stake.seats` is 101, must be 1 to 100 seats"),
            (
                "min-lock = \"20000\"",
                "min-lock = \"200000\"",
                "`stake.min-lock` is 200000, must be at least 1 and at most `stake.max-lock`",
            ),
            (
                "jail-seconds = 86400",
                "jail-seconds = 1814401",
                "`stake.jail-seconds` is 1814401, must be at most `stake.unbonding-seconds`",
            ),
            ("reporter-share = 1000", "reporter-share = 5001", "`stake.reporter-share` is 5001"),
            ("seal-delay = 4", "seal-delay = 1", "`stake.seal-delay` is 1, must be 2 to 64"),
            ("invalid-output = 10000", "invalid-output = 10001", "`penalties.invalid-output` is 10001"),
            ("value = \"2000\"", "value = \"10001\"", "`mining.value` is 10001, must be at most 10000"),
            ("taper-seconds = 31536000", "taper-seconds = 0", "`mining.taper-seconds` is 0"),
            ("jail-threshold = 5000", "jail-threshold = 0", "`mining.jail-threshold` is 0"),
            ("jail-epochs = 3", "jail-epochs = 0", "`mining.jail-epochs` is 0"),
            ("posters = 4000", "posters = 4001", "`fee-split` is 10001"),
            ("ratio = \"200\"", "ratio = \"0\"", "`oracle.ratio` is 0, must be above zero"),
            ("submission-interval = 120", "submission-interval = 0", "`chain.submission-interval` is 0"),
            ("heartbeat-ms = 10000", "heartbeat-ms = 499", "`chain.heartbeat-ms` is 499, must be at least `chain.block-time-ms`"),
            ("stall-timeout-seconds = 43200", "stall-timeout-seconds = 0", "`chain.stall-timeout-seconds` is 0"),
            ("max-origin-lag = 600", "max-origin-lag = 8192", "`chain.max-origin-lag` is 8192"),
            ("max-origin-advance = 64", "max-origin-advance = 0", "`chain.max-origin-advance` is 0"),
            ("block-time-ms = 500", "block-time-ms = 0", "`chain.block-time-ms` is 0"),
            ("gas-limit = 200000000", "gas-limit = 1", "`fees.gas-limit` is 1"),
            ("elasticity = 6", "elasticity = 0", "`fees.elasticity` is 0"),
            ("denominator = 50", "denominator = 0", "`fees.denominator` is 0"),
            ("id = 4242", "id = 1 ", "`chain.id` is 1, must be another than `l1.chain-id`"),
            ("seats = 100                       # in", "# in", "missing field `seats`"),
            ("min-lock = \"20000\"", "min-lock = \"many\"", "`stake.min-lock` is \"many\", must be a number"),
            ("budget = \"0\"", "budget = \"-1\"", "`mining.budget` is \"-1\", must be at least 0"),
            ("epoch-length = 1000", "epoch-length = 3", "`chain.epoch-length` is 3, must be 4 to"),
            (
                "timelock-seconds = 3888000",
                "timelock-seconds = 9",
                "`governance.timelock-seconds` is 9, must be longer than `chain.challenge-window-seconds`, 16 times `stake.rotation-seconds` and `stake.unbonding-seconds` together",
            ),
            ("value = \"2000\"", "value = \"2000000\"", "`mining.value` must be 0 to 10000"),
            (
                "lock = \"20000\"                    # min",
                "lock = \"19999\" # min",
                "`sequencers.lock` is 19999, must be between `stake.min-lock` and `stake.max-lock`",
            ),
            ("id = 4242", "id = 1088031", "development chains"),
            ("# deploy = ", "deploy = ", "one of `address` and `deploy`"),
            ("confirmations = 12 ", "confirmations = 1200 ", "must be at most 1000"),
        ] {
            let error = refused(from, to);
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn endpoints_and_files_may_change_and_nothing_else() {
        let file = DeploymentFile::parse(&filled(), Path::new("/f")).unwrap();
        let mut other = file.clone();
        (other.l1.http, other.deployer.password_file) = ("http://elsewhere".into(), None);
        assert_eq!(file.decided().unwrap(), other.decided().unwrap());
        other.stake.seats = 7;
        let (before, after) = (file.decided().unwrap(), other.decided().unwrap());
        let changed: Vec<_> = before.iter().filter(|(key, value)| after.get(*key) != Some(value)).map(|(key, _)| key).collect();
        assert_eq!(changed, ["stake.seats"]);
    }
}
