//! `lock`, `increase`, `decrease`, `exit`, `unjail`, `claim`: the life of a lock.

use super::cli::LockArgs;
use super::transaction::{Call, perform};
use super::{Chain, Operator, status, tokens, when, whole};
use alloy_primitives::{Address, U256};
use eyre::{WrapErr, bail, ensure};
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
    if registered != 0 {
        bail!("identity {identity} {}", taken(registered, status::name(chain.record(registered).await?.status)));
    }
    chain.limits().await?.check(amount)?;
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
    let locked = staying(&chain, id).await?;
    chain.limits().await?.check(locked + amount)?;
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
    chain.limits().await?.check_decrease(id, staying(&chain, id).await?, amount)?;
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

/// Names the account whose batches are paid back.
pub(super) async fn poster(operator: &Operator, given: Option<Address>) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let id = operator.id(&chain).await?;
    let poster = match given {
        Some(poster) => poster,
        None => operator.key_folder()?.public()?.poster,
    };
    let named = chain.pool().posterOf(id).call().await.wrap_err("L1 does not answer")?;
    ensure!(named != poster, "{poster} is named as the poster of sequencer {id} already");
    let call = SequencerPool::setPosterCall { id, poster };
    let call = Call::new(format!("SequencerPool.setPoster({id}, {poster})"), chain.spec.l1.pool, &call);
    let done = perform(operator, &chain, vec![call]).await?;
    let line = if poster.is_zero() {
        format!("sequencer {id} names no poster: its batches are not paid back")
    } else {
        format!("sequencer {id} names {poster}: what it spends on batches from now on is paid back")
    };
    done.print(operator, &line, json!({ "id": id, "poster": poster, "before": named }));
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

/// Why an identity that is registered cannot lock again, and what it can do.
fn taken(id: u64, status: &str) -> String {
    match status {
        "gone" => {
            format!("belonged to sequencer {id}, which has left for good: make new keys with `keys new` and another --keys")
        }
        "exiting" => {
            format!("belongs to sequencer {id}, which is leaving: to stake on, make new keys with `keys new` and another --keys")
        }
        "jailed" => {
            format!("is registered as sequencer {id}, which is in jail: `unjail` brings it back, `increase` adds to its lock")
        }
        _ => format!("is registered as sequencer {id}: `increase` adds to its lock"),
    }
}

/// What a sequencer that neither is gone nor leaves has locked.
async fn staying(chain: &Chain, id: u64) -> eyre::Result<U256> {
    let record = chain.record(id).await?;
    match status::name(record.status) {
        "gone" => bail!("sequencer {id} has left: it has no lock, see its tickets with `status`"),
        "exiting" => {
            bail!("sequencer {id} is leaving: its whole lock of {} becomes a ticket at a rotation", whole(record.amount))
        }
        _ => Ok(U256::from(record.amount)),
    }
}

/// Bounds of a lock, wei of the stake token.
pub(super) struct Limits {
    pub(super) minimum: U256,
    maximum: U256,
}

impl Chain {
    /// The pool's limits as they are now.
    pub(super) async fn limits(&self) -> eyre::Result<Limits> {
        let pool = self.pool();
        let minimum = pool.minLock().call().await.wrap_err("L1 does not answer")?;
        Ok(Limits { minimum: U256::from(minimum), maximum: U256::from(pool.maxLock().call().await?) })
    }
}

impl Limits {
    /// Whether a lock may become `lock`. The pool says the same; it is said before balances are looked at.
    fn check(&self, lock: U256) -> eyre::Result<()> {
        let Self { minimum, maximum } = self;
        ensure!(
            (minimum..=maximum).contains(&&lock),
            "LockOutOfRange: the lock would be {}, must be {} to {}",
            whole(lock),
            whole(*minimum),
            whole(*maximum)
        );
        Ok(())
    }

    /// Whether `amount` may be taken out of `locked`.
    fn check_decrease(&self, id: u64, locked: U256, amount: U256) -> eyre::Result<()> {
        let most = locked.saturating_sub(self.minimum);
        ensure!(
            amount <= most,
            "LockOutOfRange: sequencer {id} has {} locked and must keep {}: at most {} can be taken out, `exit` takes out all",
            whole(locked),
            whole(self.minimum),
            whole(most)
        );
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { minimum: tokens("20000").unwrap(), maximum: tokens("100000").unwrap() }
    }

    #[test]
    fn a_lock_is_held_against_the_limits() {
        let check = |lock: &str| limits().check(tokens(lock).unwrap()).map_err(|error| error.to_string());
        assert_eq!(check("20000"), Ok(()));
        assert_eq!(check("100000"), Ok(()));
        assert_eq!(check("19999").unwrap_err(), "LockOutOfRange: the lock would be 19999, must be 20000 to 100000");
        assert!(check("100000.1").is_err());
    }

    #[test]
    fn a_decrease_says_what_is_locked_and_what_can_be_taken() {
        let check = |amount: &str| limits().check_decrease(5, tokens("25000").unwrap(), tokens(amount).unwrap());
        assert!(check("5000").is_ok());
        let expected = "LockOutOfRange: sequencer 5 has 25000 locked and must keep 20000: at most 5000 can be taken out, `exit` takes out all";
        for amount in ["5000.5", "30000"] {
            assert_eq!(check(amount).unwrap_err().to_string(), expected);
        }
        // The limits were raised since: nothing can be taken, and nothing is below zero.
        let small = limits().check_decrease(5, tokens("100").unwrap(), tokens("1").unwrap()).unwrap_err().to_string();
        assert!(small.contains("at most 0 can be taken out"), "{small}");
    }

    #[test]
    fn an_identity_that_has_left_is_not_told_to_increase() {
        assert!(taken(5, "gone").contains("left for good") && !taken(5, "gone").contains("increase"));
        assert!(!taken(5, "exiting").contains("increase"));
        assert_eq!(taken(5, "active"), "is registered as sequencer 5: `increase` adds to its lock");
    }
}
