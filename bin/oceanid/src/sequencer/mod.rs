//! `oceanid sequencer`: an operator's commands. Everything that changes something on L1 is simulated, shown with its cost, and sent only
//! when confirmed.

pub(crate) mod cli;
mod doctor;
mod errors;
mod keys;
mod rewards;
mod stake;
mod status;
pub(crate) mod transaction;

use crate::output;
use alloy_primitives::ruint::UintTryFrom;
use alloy_primitives::utils::{format_ether, parse_units};
use alloy_primitives::{Address, U256};
use alloy_provider::{DynProvider, Provider, ProviderBuilder};
use cli::{SequencerAction, SequencerArgs};
use eyre::{OptionExt, WrapErr, ensure};
use oceanid_contracts::endpoint::Endpoint;
use oceanid_contracts::l1::SequencerPool::{Sequencer as Record, SequencerPoolInstance};
use oceanid_contracts::l1::{MiningRewards::MiningRewardsInstance, SequencerPool};
use oceanid_node::{KeyFolder, KeyRole, NodeConfig, Password, Settings, account_address, load_spec, open_account};
use oceanid_primitives::ChainSpec;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) async fn run(args: SequencerArgs) -> eyre::Result<ExitCode> {
    let load = |file: &Path| Settings::from_process(Some(file))?.build();
    let config = args.config.as_deref().map(load).transpose()?;
    let operator = Operator { args, config, password: OnceCell::new() };
    match &operator.args.action {
        SequencerAction::Doctor => return doctor::run(&operator).await,
        SequencerAction::Keys(args) => keys::run(&operator, &args.action).await?,
        SequencerAction::Lock(args) => stake::lock(&operator, args).await?,
        SequencerAction::Increase(args) => stake::increase(&operator, &args.amount).await?,
        SequencerAction::Decrease(args) => stake::decrease(&operator, &args.amount).await?,
        SequencerAction::Exit => stake::exit(&operator).await?,
        SequencerAction::Unjail => stake::unjail(&operator).await?,
        SequencerAction::Claim(args) => stake::claim(&operator, args.ticket).await?,
        SequencerAction::Poster(args) => stake::poster(&operator, args.poster).await?,
        SequencerAction::Rewards(args) => rewards::run(&operator, args).await?,
        SequencerAction::Status => status::run(&operator).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What the commands share: flags over the configuration file, and the password, asked for once.
struct Operator {
    args: SequencerArgs,
    config: Option<NodeConfig>,
    password: OnceCell<Password>,
}

impl Operator {
    fn spec(&self) -> eyre::Result<ChainSpec> {
        let file = self.args.spec.as_ref().or(self.config.as_ref().map(|config| &config.spec));
        Ok(load_spec(file.ok_or_eyre("--spec is missing: name the chain specification, or a node's --config")?)?)
    }

    fn l1_url(&self) -> eyre::Result<&str> {
        let url = self.args.l1.as_deref().or(self.config.as_ref().map(|config| config.l1.http.as_str()));
        url.ok_or_eyre("--l1 is missing: name an L1 endpoint, or a node's --config")
    }

    /// The node's RPC, as far as it is known.
    fn l2_url(&self) -> Option<String> {
        let configured = || self.config.as_ref().map(|config| format!("http://{}", config.rpc.listen));
        self.args.l2.clone().or_else(configured)
    }

    fn key_folder(&self) -> eyre::Result<KeyFolder> {
        let configured = || self.config.as_ref().and_then(|config| config.sequencer.as_ref()?.keys.clone());
        let path = self.args.keys.clone().or_else(configured);
        Ok(KeyFolder::new(path.ok_or_eyre("--keys is missing: name the folder of the keys, or a node's --config")?))
    }

    fn password_file(&self) -> Option<PathBuf> {
        let configured = || self.config.as_ref().and_then(|config| config.sequencer.as_ref()?.password_file.clone());
        self.args.password_file.clone().or_else(configured)
    }

    /// The password of the keys.
    fn password(&self) -> eyre::Result<&Password> {
        if self.password.get().is_none() {
            let password = Password::obtain(self.password_file().as_deref(), "Password of the keys")?;
            // Nobody else sets it.
            let _ = self.password.set(password);
        }
        self.password.get().ok_or_eyre("no password")
    }

    /// Keystore of the account that signs.
    fn account_file(&self) -> eyre::Result<PathBuf> {
        match &self.args.account {
            Some(file) => Ok(file.clone()),
            None => Ok(self.key_folder()?.path_of(KeyRole::Owner)),
        }
    }

    async fn chain(&self) -> eyre::Result<Chain> {
        let (spec, url) = (self.spec()?, self.l1_url()?.to_owned());
        let l1 = connect(&url)?;
        let chain_id = l1.get_chain_id().await.wrap_err_with(|| format!("L1 at {} does not answer", Endpoint::new(&url)))?;
        ensure!(chain_id == spec.l1_chain_id, "L1 at {} is chain {chain_id}, must be {}", Endpoint::new(&url), spec.l1_chain_id);
        Ok(Chain { spec, l1 })
    }

    /// Number of the sequencer the command is about.
    async fn id(&self, chain: &Chain) -> eyre::Result<u64> {
        if let Some(id) = self.args.id {
            return Ok(id);
        }
        let identity = self.key_folder()?.public()?.identity;
        let id = chain.pool().idOfIdentity(identity).call().await.wrap_err("L1 does not answer")?;
        ensure!(id != 0, "identity {identity} is not registered in the pool: lock first, or say --id");
        Ok(id)
    }

    /// Address and signer of the account, the signer only when it is to sign.
    fn account(&self) -> eyre::Result<Address> {
        Ok(account_address(&self.account_file()?)?)
    }

    fn signer(&self) -> eyre::Result<alloy_signer_local::PrivateKeySigner> {
        Ok(open_account(&self.account_file()?, self.password()?)?)
    }
}

/// The chain's contracts on L1.
struct Chain {
    spec: ChainSpec,
    l1: DynProvider,
}

impl Chain {
    fn pool(&self) -> SequencerPoolInstance<&DynProvider> {
        SequencerPool::new(self.spec.l1.pool, &self.l1)
    }

    fn rewards(&self) -> MiningRewardsInstance<&DynProvider> {
        MiningRewardsInstance::new(self.spec.l1.rewards, &self.l1)
    }

    /// Record of sequencer `id`, which must exist.
    async fn record(&self, id: u64) -> eyre::Result<Record> {
        let record = self.pool().sequencer(id).call().await.wrap_err("L1 does not answer")?;
        ensure!(!record.owner.is_zero(), "the pool knows no sequencer {id}");
        Ok(record)
    }

    /// L1's time: that of its newest block, seconds.
    async fn now(&self) -> eyre::Result<u64> {
        let block = self.l1.get_block_by_number(alloy_eips::BlockNumberOrTag::Latest).await?.ok_or_eyre("L1 has no block")?;
        Ok(block.header.timestamp)
    }
}

/// A provider without an account.
pub(crate) fn connect(url: &str) -> eyre::Result<DynProvider> {
    let parsed = url.parse().wrap_err_with(|| format!("not a URL: {}", Endpoint::new(url)))?;
    Ok(ProviderBuilder::new().disable_recommended_fillers().connect_http(parsed).erased())
}

/// Parses whole tokens into wei.
pub(crate) fn tokens(text: &str) -> eyre::Result<U256> {
    let amount = parse_units(text, "ether").wrap_err_with(|| format!("amount `{text}`: not a number of tokens"))?;
    ensure!(!amount.is_negative() && !amount.is_zero(), "amount is {text}, must be above 0");
    Ok(amount.get_absolute())
}

/// Wei in whole tokens, without zeros at the end.
pub(crate) fn whole<T>(wei: T) -> String
where
    U256: UintTryFrom<T>,
{
    let text = format_ether(U256::from(wei));
    let text = text.trim_end_matches('0');
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

/// Seconds as people say them.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// When `at` is, seen from `now`.
fn when(at: u64, now: u64) -> String {
    if at <= now { "now".to_owned() } else { format!("in {} (L1 time {at})", span(at - now)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_read_well() {
        assert_eq!(whole(tokens("20000").unwrap()), "20000");
        assert_eq!(whole(tokens("0.50").unwrap()), "0.5");
        assert_eq!(whole(1u64), "0.000000000000000001");
        assert!(tokens("0").is_err() && tokens("ten").is_err() && tokens("-1").is_err());
        assert_eq!((span(119).as_str(), span(7_260).as_str(), span(1_900_000).as_str()), ("119 s", "2 h 1 min", "21 d 23 h"));
        assert_eq!((when(5, 5).as_str(), when(70, 10).as_str()), ("now", "in 60 s (L1 time 70)"));
    }
}
