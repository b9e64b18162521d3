//! The pool's view of a store's committed state, for both kinds of chain.

use crate::{PoolAccount, PoolState};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use oceanid_primitives::{ChainSpec, TxEnvelope};
use oceanid_stf::{L1Prices, StateReader, ethereum_next_base_fee, l1_data_fee, next_base_fee};
use oceanid_store::{Store, StoreError};
use std::sync::Arc;

/// First bytes of the code of an account that delegates (EIP-7702); such an account may send transactions.
const DELEGATION_PREFIX: [u8; 3] = [0xef, 0x01, 0x00];

/// [`PoolState`] over a store: always its newest committed state.
#[derive(Clone)]
pub struct StoreState {
    store: Store,
    /// None for Ethereum.
    spec: Option<Arc<ChainSpec>>,
}

impl StoreState {
    /// State of a Layer 2.
    pub const fn rollup(store: Store, spec: Arc<ChainSpec>) -> Self {
        Self { store, spec: Some(spec) }
    }

    /// State of the embedded L1.
    pub const fn ethereum(store: Store) -> Self {
        Self { store, spec: None }
    }

    fn read(&self, address: Address) -> Result<PoolAccount, StoreError> {
        let view = self.store.view();
        let Some(account) = view.account(address)? else { return Ok(PoolAccount::default()) };
        let delegated = account.code_hash != KECCAK256_EMPTY && view.code(account.code_hash)?.starts_with(&DELEGATION_PREFIX);
        let has_code = account.code_hash != KECCAK256_EMPTY && !delegated;
        Ok(PoolAccount { nonce: account.nonce, balance: account.balance, has_code, delegated })
    }
}

impl PoolState for StoreState {
    fn account(&self, address: Address) -> Result<PoolAccount, String> {
        self.read(address).map_err(|error| error.to_string())
    }

    fn data_fee(&self, transaction: &TxEnvelope) -> Result<U256, String> {
        let Some(params) = self.spec.as_ref().map(|spec| &spec.l1_data_fee).filter(|params| !params.is_free()) else {
            return Ok(U256::ZERO);
        };
        let prices = L1Prices::read(&self.store.view()).map_err(|error| error.to_string())?;
        Ok(U256::from(l1_data_fee(params, &prices, &transaction.encoded_2718())))
    }

    fn next_base_fee(&self) -> Result<u64, String> {
        let number = self.store.head().number;
        let header = self.store.header(number).map_err(|error| error.to_string())?;
        let header = header.ok_or_else(|| format!("no header of the head, block {number}"))?;
        Ok(self.spec.as_ref().map_or_else(|| ethereum_next_base_fee(&header), |spec| next_base_fee(&header, &spec.fees)))
    }
}
