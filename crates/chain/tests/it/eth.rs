//! The embedded L1's ledger: mining, history, restarts.

use crate::common::{CHAIN, Source, signer, transfer};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, U256};
use oceanid_chain::{EthGenesis, EthLedger, MineRequest};
use oceanid_stf::{AccountState, StateDiff, StateReader};

fn genesis() -> EthGenesis {
    let account = GenesisAccount { balance: U256::from(10).pow(U256::from(20)), ..Default::default() };
    EthGenesis {
        chain_id: CHAIN,
        timestamp: 1_000,
        gas_limit: 30_000_000,
        base_fee: 1_000_000_000,
        alloc: [(signer(0).address(), account)].into(),
    }
}

fn request(timestamp: u64) -> MineRequest {
    MineRequest { timestamp, beneficiary: Address::repeat_byte(0xbe), max_bytes: 1 << 20, ..Default::default() }
}

#[test]
fn blocks_are_mined_told_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = EthLedger::open(dir.path(), &genesis(), EthLedger::default_config()).unwrap();
    let mut events = ledger.subscribe();
    for nonce in 0..5 {
        let mined = ledger.mine(request(1_000 + nonce), &mut Source::of([transfer(0, nonce)])).unwrap();
        assert_eq!(mined.block.number(), nonce + 1);
        assert_eq!(events.try_recv().unwrap().block.hash(), mined.block.hash());
        assert!(mined.receipts[0].success);
    }
    let head = ledger.head();
    assert_eq!(head.header().timestamp, 1_005, "time never stands still, as Ethereum demands");
    let tip = ledger.view().account(Address::repeat_byte(0xbe)).unwrap().unwrap().balance;
    assert_eq!(tip, U256::from(5 * 21_000 * 1_000), "the beneficiary has the tips and nothing else");
    let paid = |number| {
        ledger.store().view_at(number).unwrap().account(Address::repeat_byte(0xee)).unwrap().map(|account| account.balance)
    };
    assert_eq!(paid(0), None);
    assert_eq!(paid(3), Some(U256::from(15)));
    drop((ledger, events));
    let ledger = EthLedger::open(dir.path(), &genesis(), EthLedger::default_config()).unwrap();
    assert_eq!(ledger.head().hash(), head.hash());
    ledger.mine(request(0), &mut Source::of([transfer(0, 5)])).unwrap();
    assert_eq!(ledger.head().header().parent_hash, head.hash());
}

#[test]
fn development_can_write_state() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = EthLedger::open(dir.path(), &genesis(), EthLedger::default_config()).unwrap();
    let who = Address::repeat_byte(0x44);
    let mut irregular = StateDiff::default();
    irregular.accounts.insert(who, Some(AccountState { balance: U256::from(9), ..Default::default() }));
    ledger.mine(MineRequest { irregular, ..request(0) }, &mut Source::default()).unwrap();
    assert_eq!(ledger.view().account(who).unwrap().unwrap().balance, U256::from(9));
    let proof = ledger.view().proof(who, &[]).unwrap();
    assert_eq!(proof.account.unwrap().balance, U256::from(9));
    assert_ne!(ledger.head().header().state_root, B256::ZERO);
}
