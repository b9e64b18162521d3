//! Transactions on L1: simulated, shown with gas and cost, confirmed, sent, waited for.

use super::errors::reverted;
use super::{Chain, Operator, whole};
use crate::output;
use alloy_network::{EthereumWallet, TransactionBuilder};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use alloy_sol_types::SolCall;
use eyre::{WrapErr, ensure};
use oceanid_contracts::l1::OceanidToken;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal};
use std::time::{Duration, Instant};

/// Gas added to the estimate, percent: the state moves between simulation and block.
const GAS_MARGIN: u64 = 25;
/// Longest wait for a transaction to be mined.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(250);

/// One call to a contract.
pub(super) struct Call {
    /// As shown: `SequencerPool.exit(7)`.
    what: String,
    to: Address,
    data: Bytes,
    /// Spender and amount, if the call is an approval: the calls after it are simulated as if it had happened.
    grants: Option<(Address, U256)>,
}

impl Call {
    pub(super) fn new(what: String, to: Address, call: &impl SolCall) -> Self {
        Self { what, to, data: call.abi_encode().into(), grants: None }
    }

    /// Lets `spender` take `amount` of the stake token.
    pub(super) fn approve(chain: &Chain, name: &str, spender: Address, amount: U256) -> Self {
        let call = OceanidToken::approveCall { spender, value: amount };
        let what = format!("token.approve({name}, {})", whole(amount));
        Self { grants: Some((spender, amount)), ..Self::new(what, chain.spec.l1.token, &call) }
    }

    fn request(&self, from: Address) -> TransactionRequest {
        TransactionRequest::default().with_from(from).with_to(self.to).with_input(self.data.clone())
    }
}

/// A call that the simulation let through.
struct Checked {
    call: Call,
    gas: u64,
}

/// Simulates the calls in order, shows them, asks, sends them one after another. Returns what was done, for `--json`; `None` when
/// nothing was sent.
pub(super) async fn perform(operator: &Operator, chain: &Chain, calls: Vec<Call>) -> eyre::Result<Outcome> {
    let from = operator.account()?;
    // A dry run finds a wrong password too, and a real one finds it before anybody has said yes.
    let signer = operator.signer()?;
    let fees = chain.l1.estimate_eip1559_fees().await.wrap_err("L1 does not answer")?;
    let mut overrides = StateOverride::default();
    let mut checked = Vec::with_capacity(calls.len());
    for call in calls {
        let gas = simulate(chain, &call, from, &overrides).await?;
        if let Some((spender, amount)) = call.grants {
            grant(chain, from, spender, amount, &mut overrides).await?;
        }
        checked.push(Checked { call, gas });
    }
    let price = U256::from(fees.max_fee_per_gas);
    let cost = checked.iter().fold(U256::ZERO, |sum, each| sum + U256::from(each.gas) * price);
    for (index, each) in checked.iter().enumerate() {
        let Checked { call, gas } = each;
        output::progress(&format!(
            "{}  {:<60} {gas:>9} gas, at most {} ETH",
            index + 1,
            call.what,
            whole(U256::from(*gas) * price)
        ));
    }
    let balance = chain.l1.get_balance(from).await?;
    output::progress(&format!("account {from} has {} ETH", whole(balance)));
    ensure!(balance >= cost, "account {from} has {} ETH on L1, must have at least {} for gas", whole(balance), whole(cost));
    if operator.args.dry_run {
        output::progress("dry run: nothing was sent");
        return Ok(Outcome { from, sent: None, planned: checked });
    }
    let what = if checked.len() == 1 { "this transaction".to_owned() } else { format!("these {} transactions", checked.len()) };
    confirm(operator.args.yes, &format!("send {what}, at most {} ETH for gas?", whole(cost)))?;

    let wallet = EthereumWallet::from(signer);
    let l1 = ProviderBuilder::new().wallet(wallet).connect_provider(chain.l1.clone());
    let mut sent = Vec::with_capacity(checked.len());
    for Checked { call, gas } in &checked {
        let request = call
            .request(from)
            .with_gas_limit(*gas)
            .with_max_fee_per_gas(fees.max_fee_per_gas)
            .with_max_priority_fee_per_gas(fees.max_priority_fee_per_gas);
        let hash = *l1.send_transaction(request).await.map_err(|error| reverted(&call.what, error))?.tx_hash();
        output::progress(&format!("sent      {} {hash}", call.what));
        let (block, gas_used) = mined(chain, hash, &call.what).await?;
        output::progress(&format!("mined     block {block}, {gas_used} gas"));
        sent.push(Mined { hash, block, gas_used });
    }
    Ok(Outcome { from, sent: Some(sent), planned: checked })
}

/// What [`perform`] did.
pub(super) struct Outcome {
    from: Address,
    planned: Vec<Checked>,
    sent: Option<Vec<Mined>>,
}

struct Mined {
    hash: B256,
    block: u64,
    gas_used: u64,
}

impl Outcome {
    /// Prints the result: `line` for people, `result` for machines. After a dry run there is none for people.
    pub(super) fn print(&self, operator: &Operator, line: &str, result: Value) {
        if !operator.args.json {
            if self.sent.is_some() {
                output::line(line);
            }
            return;
        }
        let transactions: Vec<Value> = self
            .planned
            .iter()
            .enumerate()
            .map(|(index, Checked { call, gas })| {
                let mut value = json!({ "call": call.what, "to": call.to, "data": call.data, "gas": gas });
                if let Some(Mined { hash, block, gas_used }) = self.sent.as_ref().and_then(|sent| sent.get(index)) {
                    value["hash"] = json!(hash);
                    value["block"] = json!(block);
                    value["gasUsed"] = json!(gas_used);
                }
                value
            })
            .collect();
        output::json(&json!({
            "from": self.from, "dryRun": self.sent.is_none(), "transactions": transactions, "result": result,
        }));
    }
}

/// Runs the call against the newest state without sending it; returns the gas limit it needs.
async fn simulate(chain: &Chain, call: &Call, from: Address, overrides: &StateOverride) -> eyre::Result<u64> {
    let request = call.request(from);
    let overrides = (!overrides.is_empty()).then(|| overrides.clone());
    chain.l1.call(request.clone()).overrides_opt(overrides.clone()).await.map_err(|error| reverted(&call.what, error))?;
    let estimate = chain.l1.estimate_gas(request).overrides_opt(overrides).await.map_err(|error| reverted(&call.what, error))?;
    Ok(estimate + estimate * GAS_MARGIN / 100)
}

/// Adds to `overrides` that `spender` may take `amount`: finds the storage slot of the token's allowance by asking which slots
/// reading it touches, and which of them changes the answer.
async fn grant(chain: &Chain, owner: Address, spender: Address, amount: U256, overrides: &mut StateOverride) -> eyre::Result<()> {
    let token = chain.spec.l1.token;
    let call = OceanidToken::allowanceCall { owner, spender };
    let request = TransactionRequest::default().with_from(owner).with_to(token).with_input(call.abi_encode());
    let read = chain.l1.create_access_list(&request).await.wrap_err("L1 has no eth_createAccessList")?;
    for item in &read.access_list.0 {
        for slot in &item.storage_keys {
            let mut tried = overrides.clone();
            let account: &mut AccountOverride = tried.entry(item.address).or_default();
            account.state_diff.get_or_insert_default().insert(*slot, amount.into());
            let answer = chain.l1.call(request.clone()).overrides(tried.clone()).await?;
            if OceanidToken::allowanceCall::abi_decode_returns(&answer).ok() == Some(amount) {
                *overrides = tried;
                return Ok(());
            }
        }
    }
    eyre::bail!("the token at {token} keeps its allowances where no simulation reaches them: approve the pool by hand first")
}

/// Asks a question that has to be answered with yes; with `yes` nobody is asked.
pub(crate) fn confirm(yes: bool, question: &str) -> eyre::Result<()> {
    if yes {
        return Ok(());
    }
    let input = std::io::stdin();
    ensure!(input.is_terminal(), "not confirmed: say --yes, or run in a terminal");
    output::progress(&format!("{question} [y/N]"));
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    ensure!(matches!(answer.trim(), "y" | "Y" | "yes"), "not confirmed: nothing was sent");
    Ok(())
}

/// Waits for a transaction; one that reverted is asked why at the block before.
async fn mined(chain: &Chain, hash: B256, what: &str) -> eyre::Result<(u64, u64)> {
    let started = Instant::now();
    loop {
        if let Some(receipt) = chain.l1.get_transaction_receipt(hash).await? {
            let block = receipt.block_number.unwrap_or_default();
            ensure!(
                receipt.status(),
                "{what} reverted in block {block}: the state changed since the simulation; look again ({hash})"
            );
            return Ok((block, receipt.gas_used));
        }
        ensure!(started.elapsed() < PATIENCE, "{what} was not mined within {} s: {hash}", PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
}
