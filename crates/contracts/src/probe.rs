//! Questions to an L1 before anything is spent on it: does it answer, which chain is it, does it know BLS12-381?

use crate::endpoint::Endpoint;
use alloy_primitives::{Address, Bytes, TxKind, address};
use alloy_provider::Provider;
use alloy_rpc_types_eth::{TransactionInput, TransactionRequest};
use alloy_transport::TransportError;

/// `BLS12_G1ADD` of EIP-2537.
const BLS12_G1ADD: Address = address!("000000000000000000000000000000000000000b");
/// Bytes of a G1 point in EIP-2537.
const G1_BYTES: usize = 128;

/// Why an L1 cannot carry the rollup. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No answer, or not an Ethereum endpoint.
    #[error("L1 at {endpoint} does not answer ({reason}): is it running, and is the URL its http JSON-RPC endpoint?")]
    NoAnswer {
        /// The endpoint.
        endpoint: Endpoint,
        /// Innermost cause.
        reason: String,
    },
    /// The certificate could not be verified there.
    #[error(
        "L1 at {endpoint} (chain {chain_id}) has no BLS12-381 precompiles (EIP-2537): it must follow Prague rules or later, such as `anvil --hardfork prague`"
    )]
    NoBls {
        /// The endpoint.
        endpoint: Endpoint,
        /// Its chain id.
        chain_id: u64,
    },
}

/// Checks that the L1 behind `provider` answers and has EIP-2537, and returns its chain id. `url` is for the errors.
pub async fn probe(provider: &impl Provider, url: &str) -> Result<u64, ProbeError> {
    let endpoint = Endpoint::new(url);
    let no_answer = |error: TransportError| ProbeError::NoAnswer { endpoint: endpoint.clone(), reason: endpoint.cause(&error) };
    let chain_id = provider.get_chain_id().await.map_err(no_answer)?;
    // The sum of two points at infinity is the point at infinity; an address without code returns nothing.
    let call = TransactionRequest {
        to: Some(TxKind::Call(BLS12_G1ADD)),
        input: TransactionInput::new(Bytes::from(vec![0; 2 * G1_BYTES])),
        ..TransactionRequest::default()
    };
    let sum = provider.call(call).await.map_err(no_answer)?;
    if sum.len() == G1_BYTES { Ok(chain_id) } else { Err(ProbeError::NoBls { endpoint, chain_id }) }
}
