//! `lock`, `increase`, `decrease`, `exit`, `unjail`, `claim`: the life of a lock.

use super::cli::LockArgs;
use super::transaction::{Call, perform};
use super::{Chain, Operator, status, tokens, when, whole};
use alloy_primitives::{Address, U256};
use eyre::{bail, ensure};
use oceanid_contracts::l1::OceanidToken;
use oceanid_contracts::l1::SequencerPool;
use oceanid_contracts::l1::UnbondingTicket;
use serde_json::json;

pub(super) async fn lock(operator: &Operator, args: &LockArgs) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let (amount, owner) = (tokens(&args.amount)?, operator.account()?);
    let folder = operator.key_folder()?;
    let public = folder.public()?;
    let identity = public.identity;
    let registered = chain.pool().idOfIdentity(identity).call().await?;
    ensure!(registered == 0, "identity {identity} is registered as sequencer {registered}: `increase` adds to its lock");
    let keys = folder.node_keys(operator.password()?)?;
    let possession = keys.possession(chain.spec.l1_chain_id, chain.spec.l1.pool, owner);
    let call = SequencerPool::lockCall {
        keys: SequencerPool::Keys { identity, consensusKey: keys.bls_eip2537().into() },
        possession: possession.into(),
        amount,
        recipient: args.recipient.unwrap_or(owner),
        poster: public.poster,
    };
    let mut calls = approval(&chain, owner, amount).await?;
    calls.push(Call::new(format!("SequencerPool.lock({})", whole(amount)), chain.spec.l1.pool, &call));
    let done = perform(operator, &chain, calls).await?;

    let id = chain.pool().idOfIdentity(identity).call().await?;
    let line = format!("locked {} as sequencer {id}; it joins at a rotation, see `oceanid sequencer status`", whole(amount));
    done.print(operator, &line, json!({ "id": id, "identity": identity, "owner": owner, "amount": amount.to_string() }));
    Ok(())
}

pub(super) async fn increase(operator: &Operator, amount: &str) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let (amount, owner, id) = (tokens(amount)?, operator.account()?, operator.id(&chain).await?);
    let mut calls = approval(&chain, owner, amount).await?;
    let call = SequencerPool::increaseCall { id, amount };
    calls.push(Call::new(format!("SequencerPool.increase({id}, {})", whole(amount)), chain.spec.l1.pool, &call));
    let done = perform(operator, &chain, calls).await?;
    let lock = chain.record(id).await?.amount;
    let line = format!("added {} to sequencer {id}: its lock is {}", whole(amount), whole(lock));
    done.print(operator, &line, json!({ "id": id, "amount": amount.to_string(), "lock": lock.to_string() }));
    Ok(())
}

pub(super) async fn decrease(operator: &Operator, amount: &str) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let (amount, id) = (tokens(amount)?, operator.id(&chain).await?);
    let call = SequencerPool::decreaseCall { id, amount };
    let call = Call::new(format!("SequencerPool.decrease({id}, {})", whole(amount)), chain.spec.l1.pool, &call);
    let done = perform(operator, &chain, vec![call]).await?;
    let lock = chain.record(id).await?.amount;
    let tickets = status::tickets(&chain, id).await?;
    let newest = tickets.last();
    let line = match newest {
        Some(ticket) => format!(
            "took {} out of sequencer {id}: its lock is {}; ticket {} can be claimed {}",
            whole(amount),
            whole(lock),
            ticket.number,
            when(ticket.claimable_at, chain.now().await?)
        ),
        None => format!("sequencer {id} has no ticket"),
    };
    done.print(operator, &line, json!({ "id": id, "amount": amount.to_string(), "lock": lock.to_string(), "ticket": newest }));
    Ok(())
}

pub(super) async fn exit(operator: &Operator) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let id = operator.id(&chain).await?;
    let record = chain.record(id).await?;
    let pool = chain.spec.l1.pool;
    let call = if status::name(record.status) == "exiting" {
        Call::new(format!("SequencerPool.completeExit({id})"), pool, &SequencerPool::completeExitCall { id })
    } else {
        Call::new(format!("SequencerPool.exit({id})"), pool, &SequencerPool::exitCall { id })
    };
    let done = perform(operator, &chain, vec![call]).await?;
    let record = chain.record(id).await?;
    let tickets = status::tickets(&chain, id).await?;
    let line = match (status::name(record.status), tickets.last()) {
        ("exiting", _) => format!("sequencer {id} leaves at a rotation; keep the node running until it has left the committee"),
        (_, Some(ticket)) => format!(
            "sequencer {id} has left; ticket {} over {} can be claimed {}",
            ticket.number,
            whole(ticket.amount),
            when(ticket.claimable_at, chain.now().await?)
        ),
        (_, None) => format!("sequencer {id} has left"),
    };
    done.print(operator, &line, json!({ "id": id, "status": status::name(record.status), "tickets": tickets }));
    Ok(())
}

pub(super) async fn unjail(operator: &Operator) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let id = operator.id(&chain).await?;
    let call = Call::new(format!("SequencerPool.unjail({id})"), chain.spec.l1.pool, &SequencerPool::unjailCall { id });
    let done = perform(operator, &chain, vec![call]).await?;
    let line = format!("sequencer {id} is queued again; it joins at a rotation");
    done.print(operator, &line, json!({ "id": id, "status": status::name(chain.record(id).await?.status) }));
    Ok(())
}

pub(super) async fn claim(operator: &Operator, ticket: Option<u64>) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let account = operator.account()?;
    let due: Vec<U256> = match ticket {
        Some(number) => vec![U256::from(number)],
        None => due(operator, &chain, account).await?,
    };
    let mut amount = U256::ZERO;
    for number in &due {
        amount += U256::from(chain.pool().ticket(*number).call().await?.amount);
    }
    let claim = |number: &U256| {
        let call = SequencerPool::claimCall { ticketId: *number };
        Call::new(format!("SequencerPool.claim({number})"), chain.spec.l1.pool, &call)
    };
    let done = perform(operator, &chain, due.iter().map(claim).collect()).await?;
    let numbers: Vec<String> = due.iter().map(U256::to_string).collect();
    let line = format!("ticket {} paid: {} to the owner", numbers.join(", "), whole(amount));
    done.print(operator, &line, json!({ "tickets": numbers, "amount": amount.to_string() }));
    Ok(())
}

/// Tickets of the sequencer that can be claimed now and belong to `account`; an error that says when, if there are none.
async fn due(operator: &Operator, chain: &Chain, account: Address) -> eyre::Result<Vec<U256>> {
    let id = operator.id(chain).await?;
    let now = chain.now().await?;
    let tickets = status::tickets(chain, id).await?;
    let owners = UnbondingTicket::new(chain.spec.l1.ticket, &chain.l1);
    let mut due = Vec::new();
    for ticket in tickets.iter().filter(|ticket| ticket.claimable_at <= now) {
        if owners.ownerOf(U256::from(ticket.number)).call().await? == account {
            due.push(U256::from(ticket.number));
        }
    }
    if due.is_empty() {
        let next = tickets.iter().filter(|ticket| ticket.claimable_at > now).min_by_key(|ticket| ticket.claimable_at);
        match next {
            Some(next) => bail!(
                "no ticket of sequencer {id} is due: ticket {} over {} can be claimed {}",
                next.number,
                whole(next.amount),
                when(next.claimable_at, now)
            ),
            None => bail!("sequencer {id} has no ticket that {account} can claim"),
        }
    }
    Ok(due)
}

/// The approval the pool still needs to take `amount`, and whether there is so much.
async fn approval(chain: &Chain, owner: Address, amount: U256) -> eyre::Result<Vec<Call>> {
    let token = OceanidToken::new(chain.spec.l1.token, &chain.l1);
    let held = token.balanceOf(owner).call().await?;
    ensure!(held >= amount, "account {owner} holds {} of the stake token, must hold at least {}", whole(held), whole(amount));
    let allowed = token.allowance(owner, chain.spec.l1.pool).call().await?;
    Ok(if allowed >= amount { Vec::new() } else { vec![Call::approve(chain, "SequencerPool", chain.spec.l1.pool, amount)] })
}
