//! `oceanid bridge`: the gas token from L1 to L2 and back, with progress on stderr and the result on stdout.

use crate::cli::{BridgeArgs, BridgeDirection, Transfer};
use crate::output;
use crate::sequencer::tokens;
use alloy_network::EthereumWallet;
use alloy_primitives::utils::format_ether;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_provider::{DynProvider, Provider, ProviderBuilder};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolValue;
use eyre::{OptionExt, WrapErr, ensure};
use oceanid_contracts::endpoint::Endpoint;
use oceanid_contracts::l1::{OceanidToken, Portal, Rollup};
use oceanid_contracts::l2::L2ToL1MessagePasser;
use oceanid_devnet::ConfigOut;
use oceanid_primitives::predeploys;
use serde_json::json;
use std::time::{Duration, Instant};

/// Longest wait for one step (an output on L1, a balance on L2) before giving up with a hint.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(500);
/// Gas a deposit that only carries value is given on L2.
const DEPOSIT_GAS: u64 = 100_000;

/// Both ends of the bridge and who acts.
struct Ends {
    l1: DynProvider,
    l2: DynProvider,
    config: ConfigOut,
    account: Address,
}

pub(crate) async fn run(args: BridgeArgs) -> eyre::Result<()> {
    let file = args.config.display();
    let text = std::fs::read(&args.config).wrap_err_with(|| {
        format!("cannot read {file}; write it with `oceanid dev --config-out {file}` or name another with --config")
    })?;
    let config: ConfigOut = serde_json::from_slice(&text).wrap_err_with(|| format!("{file} is not a network file"))?;
    let signer: PrivateKeySigner = match &args.private_key {
        Some(key) => key.parse().wrap_err("--private-key: not 32 bytes of 0x-hex")?,
        None => {
            PrivateKeySigner::from_bytes(&config.accounts.first().ok_or_eyre("the network file has no accounts")?.private_key)?
        }
    };
    let account = signer.address();
    let connect = |url: &str| -> eyre::Result<DynProvider> {
        let url = url.parse().wrap_err_with(|| format!("not a URL: {}", Endpoint::new(url)))?;
        Ok(ProviderBuilder::new().wallet(EthereumWallet::from(signer.clone())).connect_http(url).erased())
    };
    let ends = Ends { l1: connect(&config.l1.http)?, l2: connect(&config.l2.http)?, account, config };
    match &args.direction {
        BridgeDirection::Deposit(transfer) => deposit(&ends, transfer, args.json).await,
        BridgeDirection::Withdraw(transfer) => withdraw(&ends, transfer, args.json).await,
    }
}

async fn deposit(ends: &Ends, transfer: &Transfer, as_json: bool) -> eyre::Result<()> {
    let amount = tokens(&transfer.amount)?;
    let to = transfer.to.unwrap_or(ends.account);
    let contracts = &ends.config.contracts.l1;
    let token = OceanidToken::new(contracts.token, &ends.l1);
    let held = token.balanceOf(ends.account).call().await.wrap_err("L1 does not answer")?;
    ensure!(held >= amount, "{} holds {} METIS on L1, {} asked", ends.account, format_ether(held), transfer.amount);
    let before = ends.l2.get_balance(to).await.wrap_err("L2 does not answer")?;

    output::progress("approve  the portal may take the tokens");
    let approved = token.approve(contracts.portal, amount).send().await?.get_receipt().await?;
    ensure!(approved.status(), "approve reverted: {}", approved.transaction_hash);
    output::progress("deposit  Portal.depositERC20Transaction");
    let receipt = Portal::new(contracts.portal, &ends.l1)
        .depositERC20Transaction(to, amount, amount, DEPOSIT_GAS, false, Bytes::new())
        .send()
        .await?
        .get_receipt()
        .await?;
    ensure!(receipt.status(), "deposit reverted: {}", receipt.transaction_hash);
    output::progress(&format!("wait     L1 block {} has to become an origin of L2", receipt.block_number.unwrap_or_default()));
    let started = Instant::now();
    let after = loop {
        let balance = ends.l2.get_balance(to).await?;
        if balance > before {
            break balance;
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "no deposit on L2 after {PATIENCE:?}; is the chain making blocks? see `seq_status`"
        );
        tokio::time::sleep(POLL).await;
    };
    let seconds = started.elapsed().as_secs_f64();
    if as_json {
        output::json(
            &json!({"l1Transaction": receipt.transaction_hash, "to": to, "amountWei": amount.to_string(), "l2BalanceWei": after.to_string(), "seconds": seconds}),
        );
    } else {
        output::line(&format!("deposited {} METIS to {to}: balance on L2 is now {}", transfer.amount, format_ether(after)));
    }
    Ok(())
}

async fn withdraw(ends: &Ends, transfer: &Transfer, as_json: bool) -> eyre::Result<()> {
    let amount = tokens(&transfer.amount)?;
    let to = transfer.to.unwrap_or(ends.account);
    let held = ends.l2.get_balance(ends.account).await.wrap_err("L2 does not answer")?;
    ensure!(held > amount, "{} holds {} METIS on L2, {} and gas asked", ends.account, format_ether(held), transfer.amount);
    let contracts = &ends.config.contracts.l1;
    let rollup = Rollup::new(contracts.rollup, &ends.l1);
    let portal = Portal::new(contracts.portal, &ends.l1);

    output::progress("send     L2ToL1MessagePasser.initiateWithdrawal");
    let sent = L2ToL1MessagePasser::new(predeploys::MESSAGE_PASSER, &ends.l2)
        .initiateWithdrawal(to, U256::ZERO, Bytes::new())
        .value(amount)
        .send()
        .await?
        .get_receipt()
        .await?;
    ensure!(sent.status(), "withdrawal reverted: {}", sent.transaction_hash);
    let message = sent.decoded_log::<L2ToL1MessagePasser::MessagePassed>().ok_or_eyre("no MessagePassed event in the receipt")?;
    let block = sent.block_number.ok_or_eyre("receipt without a block number")?;

    output::progress(&format!("wait     the output of L2 block {block} has to be posted on L1"));
    let started = Instant::now();
    while rollup.latestBlockNumber().call().await? < U256::from(block) {
        ensure!(started.elapsed() < PATIENCE, "no batch with block {block} after {PATIENCE:?}; see `seq_status` for the batcher");
        tokio::time::sleep(POLL).await;
    }
    let index = rollup.getL2OutputIndexAfter(U256::from(block)).call().await?;
    let proposal = rollup.getL2Output(index).call().await?;
    let number: u64 = proposal.l2BlockNumber.try_into().wrap_err("output block number")?;
    let header = ends.l2.get_block_by_number(number.into()).await?.ok_or_eyre("the node lacks the output's block")?.header;
    let slot: B256 = keccak256((message.withdrawalHash, U256::ZERO).abi_encode());
    let proof = ends.l2.get_proof(predeploys::MESSAGE_PASSER, vec![slot]).number(number).await?;
    let withdrawal = Portal::WithdrawalTransaction {
        nonce: message.nonce,
        sender: message.sender,
        target: message.target,
        value: message.value,
        gasLimit: message.gasLimit,
        data: message.data.data.clone(),
    };
    output::progress(&format!("prove    against output {index} (block {number})"));
    let proven = portal
        .proveWithdrawalTransaction(
            withdrawal.clone(),
            index,
            Portal::OutputRootProof {
                version: B256::ZERO,
                stateRoot: header.state_root,
                messagePasserStorageRoot: proof.storage_hash,
                latestBlockhash: header.hash,
            },
            proof.storage_proof.first().ok_or_eyre("empty storage proof")?.proof.clone(),
        )
        .send()
        .await?
        .get_receipt()
        .await?;
    ensure!(proven.status(), "prove reverted: {}", proven.transaction_hash);

    output::progress(&format!("wait     challenge window of {} s", ends.config.challenge_window));
    let waiting = Instant::now();
    let patience = PATIENCE + Duration::from_secs(ends.config.challenge_window);
    while let Err(refusal) = portal.finalizeWithdrawalTransaction(withdrawal.clone()).from(ends.account).call().await {
        ensure!(waiting.elapsed() < patience, "still refused after {patience:?}: {refusal}");
        tokio::time::sleep(POLL).await;
    }
    output::progress("finalise Portal.finalizeWithdrawalTransaction");
    let finalised = portal.finalizeWithdrawalTransaction(withdrawal).send().await?.get_receipt().await?;
    ensure!(finalised.status(), "finalise reverted: {}", finalised.transaction_hash);
    let balance = OceanidToken::new(contracts.token, &ends.l1).balanceOf(to).call().await?;
    if as_json {
        output::json(&json!({
            "l2Transaction": sent.transaction_hash, "proveTransaction": proven.transaction_hash,
            "finalizeTransaction": finalised.transaction_hash, "to": to, "amountWei": amount.to_string(),
            "l1BalanceWei": balance.to_string(), "seconds": started.elapsed().as_secs_f64(),
        }));
    } else {
        output::line(&format!("withdrew {} METIS to {to}: balance on L1 is now {}", transfer.amount, format_ether(balance)));
    }
    Ok(())
}
