//! `oceanid deploy`: a new chain on an L1 that exists, from a deployment file.
//!
//! The plan is shown first: every transaction, the addresses that follow, what is done already, and what the rest costs. Each transaction is in
//! the journal before it is sent, so that a run that was killed is taken up by the next. At the end the code of every contract is held against
//! the committed artifacts, and the chain specification is written.

mod file;
mod record;

use crate::cli::DeployArgs;
use crate::output;
use crate::sequencer::transaction::confirm;
use crate::sequencer::{connect, whole};
use alloy_primitives::utils::format_units;
use alloy_primitives::{Address, U256};
use alloy_provider::{DynProvider, Provider};
use alloy_signer_local::PrivateKeySigner;
use eyre::{OptionExt, WrapErr, bail, ensure};
use file::{DeploymentFile, TEMPLATE, in_words_of_the_file};
use oceanid_contracts::deploy::{
    Deployment, DeploymentPlan, Journal, PlannedTransaction, SequencerRegistration, Standing, execute, survey,
};
use oceanid_contracts::l1::OceanidToken;
use oceanid_contracts::probe::probe;
use oceanid_node::{KeyFolder, KeyRole, Password, SequencerKeys, open_account};
use record::{Disk, Founder, Record, write_whole};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Decimals that a gas token must have: Layer 2 counts in wei.
const DECIMALS: u8 = 18;

pub(crate) async fn run(args: &DeployArgs) -> eyre::Result<()> {
    if args.init {
        return init(&args.file);
    }
    let file = DeploymentFile::read(&args.file)?;
    let url = args.l1.as_deref().unwrap_or(&file.l1.http);
    let l1 = connect(url)?;
    let chain_id = probe(&l1, url).await?;
    ensure!(chain_id == file.l1.chain_id, "L1 at {url} is chain {chain_id}, `l1.chain-id` says {}", file.l1.chain_id);
    let keys = Keys::open(&file)?;
    let spec = args.out.join("spec.json");
    let Some((plan, deployment)) = deploy(args, &file, &keys, &l1, |disk| Box::new(disk)).await? else { return Ok(()) };
    if args.json {
        let done = Record::load(&args.out)?.ok_or_eyre("the journal is gone")?;
        let bill = Bill::new(&l1, &plan, &survey(&l1, &plan, &done.signed).await?).await?;
        output::json(&result(&plan, &bill, Some((&spec, &deployment))));
    } else {
        tell(&file, &keys, &spec, &deployment, url);
    }
    Ok(())
}

/// Plans, shows, asks, and carries out what is left; none after a dry run. `journal` may look over the shoulder of the one on disk.
async fn deploy(
    args: &DeployArgs,
    file: &DeploymentFile,
    keys: &Keys,
    l1: &DynProvider,
    journal: impl FnOnce(Disk) -> Box<dyn Journal>,
) -> eyre::Result<Option<(DeploymentPlan, Deployment)>> {
    std::fs::create_dir_all(&args.out).wrap_err_with(|| format!("cannot make {}", args.out.display()))?;
    let _lock = lock(&args.out)?;
    let (plan, record) = plan(file, keys, l1, &args.out).await?;
    let bill = Bill::new(l1, &plan, &survey(l1, &plan, &record.signed).await?).await?;
    bill.text(&plan).iter().for_each(|line| output::progress(line));
    if bill.open() > 0 {
        bill.check(&plan, &record)?;
    }
    if args.dry_run {
        output::progress("dry run: nothing was sent");
        if args.json {
            output::json(&result(&plan, &bill, None));
        }
        return Ok(None);
    }
    match bill.open() {
        0 => output::progress("nothing is left to be sent"),
        open => confirm(args.yes, &format!("send these {open} transactions, {} ETH at the present price?", whole(bill.cost())))?,
    }
    let mut journal = journal(Disk::new(&args.out, record));
    let registrations = keys.registrations(&plan);
    let confirmations = file.l1.confirmations;
    let deployment =
        execute(l1, &keys.deployer, &plan, &registrations, confirmations, journal.as_mut(), &output::progress).await?;
    let spec = args.out.join("spec.json");
    let written = write_whole(&spec, &serde_json::to_vec_pretty(&deployment.spec)?);
    written.wrap_err_with(|| format!("cannot write {}", spec.display()))?;
    Ok(Some((plan, deployment)))
}

fn init(path: &Path) -> eyre::Result<()> {
    use std::io::Write;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = made.wrap_err_with(|| format!("cannot make {}", path.display()))?;
    file.write_all(TEMPLATE.as_bytes())?;
    output::line(&format!("wrote {}: read it through, then `oceanid deploy {} --dry-run`", path.display(), path.display()));
    Ok(())
}

/// Keeps a second run away from the same journal; the operating system lets go of it when this one ends, however it ends.
fn lock(folder: &Path) -> eyre::Result<std::fs::File> {
    let path = folder.join("lock");
    let file = std::fs::File::create(&path).wrap_err_with(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => bail!("another `oceanid deploy` works in {}", folder.display()),
        Err(std::fs::TryLockError::Error(error)) => Err(error).wrap_err_with(|| format!("cannot lock {}", path.display())),
    }
}

/// Everything that signs.
struct Keys {
    deployer: PrivateKeySigner,
    founders: Vec<FounderKeys>,
}

/// Keys of a sequencer of the first committee.
struct FounderKeys {
    folder: PathBuf,
    keys: SequencerKeys,
    owner: PrivateKeySigner,
    /// Stake, wei.
    lock: u128,
}

impl Keys {
    fn open(file: &DeploymentFile) -> eyre::Result<Self> {
        let mut typed: Option<Password> = None;
        let mut password = |path: Option<&Path>| -> eyre::Result<Password> {
            if let (None, Some(password)) = (path, &typed) {
                return Ok(password.clone());
            }
            let password = Password::obtain(path, "Password of the deployer and of the sequencers' keys")?;
            if path.is_none() {
                typed = Some(password.clone());
            }
            Ok(password)
        };
        let deployer = open_account(&file.deployer.account, &password(file.deployer.password_file.as_deref())?)?;
        let mut founders = Vec::with_capacity(file.sequencers.len());
        for entry in &file.sequencers {
            let (folder, password) = (KeyFolder::new(&entry.keys), password(entry.password_file.as_deref())?);
            founders.push(FounderKeys {
                folder: entry.keys.clone(),
                keys: folder.load(&password)?,
                owner: open_account(&folder.path_of(KeyRole::Owner), &password)?,
                lock: entry.lock()?,
            });
        }
        Ok(Self { deployer, founders })
    }

    fn owners(&self) -> Vec<(Address, u128)> {
        self.founders.iter().map(|founder| (founder.owner.address(), founder.lock)).collect()
    }

    fn registrations(&self, plan: &DeploymentPlan) -> Vec<SequencerRegistration> {
        let registration = |founder: &FounderKeys| SequencerRegistration {
            owner: founder.owner.clone(),
            identity: founder.keys.node.identity(),
            consensus_key: founder.keys.node.bls_eip2537(),
            possession: founder.keys.node.possession(plan.l1_chain_id(), plan.contracts().pool, founder.owner.address()),
            amount: founder.lock,
            poster: founder.keys.poster.address(),
        };
        self.founders.iter().map(registration).collect()
    }
}

/// The plan of the deployment that was begun in `out`, or of a new one, with its record.
async fn plan(file: &DeploymentFile, keys: &Keys, l1: &DynProvider, out: &Path) -> eyre::Result<(DeploymentPlan, Record)> {
    let deployer = keys.deployer.address();
    let params = file.params(token(file, l1).await?)?;
    let mined = l1.get_transaction_count(deployer).await.wrap_err("L1 does not answer")?;
    let founder = |founder: &FounderKeys| Founder {
        identity: founder.keys.node.identity(),
        owner: founder.owner.address(),
        lock: founder.lock.to_string(),
    };
    let fresh = Record {
        deployer,
        first_nonce: mined,
        decided: file.decided()?,
        founders: keys.founders.iter().map(founder).collect(),
        signed: Vec::new(),
    };
    let record = match Record::load(out)? {
        Some(begun) => {
            begun.require_same(&fresh)?;
            output::progress(&format!("going on with the deployment in {}", out.display()));
            begun
        }
        None => {
            let waiting = l1.get_transaction_count(deployer).pending().await?;
            ensure!(
                waiting == mined,
                "the deployer {deployer} has {} transactions that are not mined: addresses follow from its nonce, wait for them",
                waiting.saturating_sub(mined)
            );
            fresh
        }
    };
    let plan = DeploymentPlan::new(params, file.l1.chain_id, deployer, record.first_nonce, &keys.owners());
    Ok((plan.map_err(in_words_of_the_file)?, record))
}

/// Name, symbol and supply of a gas token that exists.
async fn token(file: &DeploymentFile, l1: &DynProvider) -> eyre::Result<Option<(String, String, U256)>> {
    let Some(address) = file.token.address else { return Ok(None) };
    let token = OceanidToken::new(address, l1);
    let said = async {
        let decimals = token.decimals().call().await?;
        eyre::Ok((decimals, (token.name().call().await?, token.symbol().call().await?, token.totalSupply().call().await?)))
    };
    let (decimals, said) = said.await.wrap_err_with(|| format!("`token.address` {address} does not answer as an ERC-20"))?;
    ensure!(decimals == DECIMALS, "the token at {address} has {decimals} decimals, must have {DECIMALS}");
    Ok(Some(said))
}

/// The plan with what it costs, and what the deployer has.
struct Bill {
    lines: Vec<(PlannedTransaction, Standing)>,
    /// Wei of ETH for a unit of gas now; what is offered is more, so that a rising price strands nothing.
    price: u128,
    /// Wei of ETH that the deployer has.
    held: U256,
    /// Wei of the gas token that it has; none of one that is still to be deployed.
    held_tokens: Option<U256>,
}

impl Bill {
    async fn new(l1: &DynProvider, plan: &DeploymentPlan, standings: &[Standing]) -> eyre::Result<Self> {
        let price = l1.estimate_eip1559_fees().await.wrap_err("L1 does not answer")?.max_fee_per_gas;
        let lines: Vec<_> = plan.outline().into_iter().zip(standings.iter().copied()).collect();
        let held = l1.get_balance(plan.deployer()).await?;
        let token = plan.contracts().token;
        let makes_it = |(planned, standing): &(PlannedTransaction, Standing)| {
            planned.creates.is_some_and(|(_, address)| address == token) && !matches!(standing, Standing::Done { .. })
        };
        let held_tokens = if lines.iter().any(makes_it) {
            None
        } else {
            Some(OceanidToken::new(token, l1).balanceOf(plan.deployer()).call().await?)
        };
        Ok(Self { lines, price, held, held_tokens })
    }

    /// The lines of what is left to be sent.
    fn left(&self) -> impl Iterator<Item = &PlannedTransaction> {
        self.lines.iter().filter(|(_, standing)| matches!(standing, Standing::Open)).map(|(planned, _)| planned)
    }

    /// Transactions that are not sent yet.
    fn open(&self) -> usize {
        self.left().count()
    }

    /// Wei of ETH that a transaction takes at most at the present price, with what it hands over.
    fn cost_of(&self, planned: &PlannedTransaction) -> U256 {
        U256::from(planned.gas) * U256::from(self.price) + planned.value
    }

    /// The same of all that is left, whoever pays.
    fn cost(&self) -> U256 {
        self.left().map(|planned| self.cost_of(planned)).sum()
    }

    /// The same of what the deployer pays.
    fn needed(&self, plan: &DeploymentPlan) -> U256 {
        self.left().filter(|planned| planned.from == plan.deployer()).map(|planned| self.cost_of(planned)).sum()
    }

    /// The plan for people: whose chain, who pays, each transaction, and the sum of what is left.
    fn text(&self, plan: &DeploymentPlan) -> Vec<String> {
        let params = plan.params();
        let mut text = vec![
            format!("chain      {}, id {}, on L1 chain {}", params.name, params.chain_id, plan.l1_chain_id()),
            format!(
                "deployer   {} has {} ETH, needs at most {} ETH for what is left",
                plan.deployer(),
                whole(self.held),
                whole(self.needed(plan))
            ),
            format!(
                "gas token  {}; {} are needed in all, for stakes, escrow and mining budget",
                match self.held_tokens {
                    Some(held) => format!("{}: the deployer has {}", plan.contracts().token, whole(held)),
                    None => "will be deployed, all of it the deployer's".to_owned(),
                },
                whole(plan.tokens_needed())
            ),
        ];
        for (number, (planned, standing)) in self.lines.iter().enumerate() {
            let what = match planned.creates {
                Some((_, address)) => format!("{} at {address}", planned.what),
                None => planned.what.clone(),
            };
            let state = match standing {
                Standing::Done { gas } => format!("done, {gas} gas"),
                Standing::Pending => "sent, not mined".to_owned(),
                Standing::Open => format!("at most {} gas, {} ETH", planned.gas, whole(self.cost_of(planned))),
            };
            text.push(format!("{:>3}  {what:<88} {state}", number + 1));
        }
        let left = format!("{} of {} transactions are left, together", self.open(), self.lines.len());
        let gas: u64 = self.left().map(|planned| planned.gas).sum();
        text.push(format!("{:>3}  {left:<88} at most {gas} gas, {} ETH", "", whole(self.cost())));
        let gwei = format_units(self.price, "gwei").unwrap_or_else(|_| self.price.to_string());
        text.push(format!("     at {gwei} gwei for a unit of gas, the present price, with the ETH that is handed over"));
        text
    }

    /// Whether the deployer has what is left to be paid. Tokens are looked at before the first transaction only: later some are moved.
    fn check(&self, plan: &DeploymentPlan, record: &Record) -> eyre::Result<()> {
        let (deployer, needed) = (plan.deployer(), self.needed(plan));
        ensure!(
            self.held >= needed,
            "the deployer {deployer} has {} ETH on L1, must have at least {}",
            whole(self.held),
            whole(needed)
        );
        if let (true, Some(held)) = (record.signed.is_empty(), self.held_tokens) {
            let needed = plan.tokens_needed();
            ensure!(
                held >= needed,
                "the deployer {deployer} has {} gas tokens on L1, must have at least {}: for stakes, escrow and mining budget",
                whole(held),
                whole(needed)
            );
        }
        Ok(())
    }
}

/// The result for machines.
fn result(plan: &DeploymentPlan, bill: &Bill, done: Option<(&Path, &Deployment)>) -> Value {
    let transactions: Vec<Value> = bill
        .lines
        .iter()
        .map(|(planned, standing)| {
            let (state, used) = match standing {
                Standing::Open => ("open", None),
                Standing::Pending => ("pending", None),
                Standing::Done { gas } => ("done", Some(gas)),
            };
            json!({
                "from": planned.from, "what": planned.what, "creates": planned.creates.map(|(_, address)| address),
                "value": planned.value.to_string(), "gas": planned.gas, "state": state, "gasUsed": used,
            })
        })
        .collect();
    let contracts: serde_json::Map<_, _> =
        plan.contracts().named().into_iter().map(|(contract, address)| (contract.to_string(), json!(address))).collect();
    json!({
        "dryRun": done.is_none(), "name": plan.params().name, "chainId": plan.params().chain_id, "l1ChainId": plan.l1_chain_id(),
        "deployer": plan.deployer(), "deployerBalance": bill.held.to_string(), "deployerNeeds": bill.needed(plan).to_string(),
        "tokensNeeded": plan.tokens_needed().to_string(), "contracts": contracts, "transactions": transactions,
        "gasPrice": bill.price.to_string(), "cost": bill.cost().to_string(),
        "spec": done.map(|(spec, _)| spec), "genesisHash": done.map(|(_, deployment)| deployment.genesis.hash),
    })
}

/// The result for people, and what comes next.
fn tell(file: &DeploymentFile, keys: &Keys, spec: &Path, deployment: &Deployment, url: &str) {
    let Deployment { spec: chain, genesis } = deployment;
    output::line(&format!("{} (chain {}) is on L1, every contract's code is as committed", chain.name, chain.chain_id));
    output::line(&format!("genesis    {}", genesis.hash));
    output::line(&format!("spec       {}", spec.display()));
    output::progress("next:");
    output::progress(&format!("  1. give {} to every operator, and the genesis hash by another way", spec.display()));
    output::progress("  2. send ETH to the posters, which pay for batches:");
    for founder in &keys.founders {
        output::progress(&format!("       {}  of {}", founder.keys.poster.address(), founder.folder.display()));
    }
    output::progress("  3. start each sequencer, naming the others (--peer IDENTITY@ADDRESS:PORT):");
    for founder in &keys.founders {
        output::progress(&format!(
            "       oceanid node --spec {} --l1 {url} --l1-beacon URL --keys {} --p2p 0.0.0.0:26656 --data-dir DIR   # {}",
            spec.display(),
            founder.folder.display(),
            founder.keys.node.identity()
        ));
    }
    output::progress(&format!(
        "  4. and a follower, which trusts none of them: oceanid node --follow --spec {} --l1 {url} --l1-beacon URL --data-dir DIR",
        spec.display()
    ));
    if file.token.address.is_none() {
        output::progress("the gas token is the plain one of trials: all of its supply was the deployer's");
    }
}

#[cfg(test)]
mod tests;
