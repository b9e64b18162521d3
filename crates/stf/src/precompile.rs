//! Precompiles: Ethereum's, and on Layer 2 the one that moves native balance for the token's ERC-20 face.

use crate::Rules;
use crate::handler::TxContext;
use alloc::string::String;
use alloy_primitives::map::{AddressMap, AddressSet};
use alloy_primitives::{Address, Bytes, U256};
use oceanid_primitives::predeploys::{NATIVE_TOKEN, NATIVE_TRANSFER};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::{Cfg, ContextTr, JournalTr};
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, CallScheme, Gas, InstructionResult, InterpreterResult};
use revm::primitives::hardfork::SpecId;

/// Gas of a native transfer: what `CALL` charges for a transfer of value (EIP-150).
pub const NATIVE_TRANSFER_GAS: u64 = 9_000;

/// Bytes of `abi.encode(from, to, amount)`.
const INPUT_BYTES: usize = 3 * 32;

/// The fork's precompiles, with [`NATIVE_TRANSFER`] on Layer 2, some of them moved. A moved one leaves its warmth behind, as in
/// geth: the access list knows the addresses of the fork.
#[derive(Clone, Debug)]
pub(crate) struct Precompiles {
    ethereum: EthPrecompiles,
    native_transfer: bool,
    moves: PrecompileMoves,
    addresses: AddressSet,
}

/// Precompiles that a simulation has elsewhere or not at all (`movePrecompileToAddress` of state overrides). Only Ethereum's
/// can be moved: [`NATIVE_TRANSFER`] acts on its own address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrecompileMoves(AddressMap<Option<Address>>);

impl PrecompileMoves {
    /// Nothing runs at `address` but the code that is there.
    pub fn remove(&mut self, address: Address) {
        self.0.insert(address, None);
    }

    /// What is at `from` without moves runs at `to`, too.
    pub fn copy(&mut self, from: Address, to: Address) {
        self.0.insert(to, Some(from));
    }
}

/// True if a precompile is at `address` under these rules.
pub fn is_precompile(rules: Rules, address: &Address) -> bool {
    EthPrecompiles::new(rules.fork().spec).contains(address) || (rules.is_rollup() && *address == NATIVE_TRANSFER)
}

impl Precompiles {
    pub(crate) fn new(rules: Rules, moves: PrecompileMoves) -> Self {
        let native_transfer = rules.is_rollup();
        let ethereum = EthPrecompiles::new(rules.fork().spec);
        let mut addresses = ethereum.warm_addresses().clone();
        if native_transfer {
            addresses.insert(NATIVE_TRANSFER);
        }
        Self { ethereum, native_transfer, moves, addresses }
    }
}

impl<CTX> PrecompileProvider<CTX> for Precompiles
where
    CTX: ContextTr<Cfg: Cfg<Spec = SpecId>, Chain = TxContext>,
{
    type Output = InterpreterResult;

    fn set_spec(&mut self, _spec: SpecId) -> bool {
        // One set for the whole life of the chain.
        false
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        if self.native_transfer && inputs.bytecode_address == NATIVE_TRANSFER {
            return native_transfer(context, inputs).map(Some);
        }
        match self.moves.0.get(&inputs.bytecode_address) {
            None => self.ethereum.run(context, inputs),
            Some(None) => Ok(None),
            Some(Some(original)) => {
                let inputs = CallInputs { bytecode_address: *original, ..inputs.clone() };
                self.ethereum.run(context, &inputs)
            }
        }
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.addresses
    }
}

/// Moves `amount` from `from` to `to`. Reverts on anything but a plain call by [`NATIVE_TOKEN`] with a whole input and enough
/// balance; the contract is trusted to have checked that its own caller may move `from`'s balance.
fn native_transfer<CTX: ContextTr>(context: &mut CTX, inputs: &CallInputs) -> Result<InterpreterResult, String> {
    let mut gas = Gas::new(inputs.gas_limit);
    if !gas.record_regular_cost(NATIVE_TRANSFER_GAS) {
        gas.spend_all();
        return Ok(InterpreterResult::new(InstructionResult::PrecompileOOG, Bytes::new(), gas));
    }
    let revert = |gas| InterpreterResult::new(InstructionResult::Revert, Bytes::new(), gas);
    let allowed = inputs.scheme == CallScheme::Call
        && inputs.caller == NATIVE_TOKEN
        && inputs.target_address == NATIVE_TRANSFER
        && inputs.value.get().is_zero()
        && !inputs.is_static;
    if !allowed {
        return Ok(revert(gas));
    }
    let Some((from, to, amount)) = decode(&inputs.input.as_bytes(context)) else { return Ok(revert(gas)) };
    let moved = transfer(context.journal_mut(), from, to, amount).map_err(|error| alloc::format!("{error}"))?;
    Ok(if moved { InterpreterResult::new(InstructionResult::Return, Bytes::new(), gas) } else { revert(gas) })
}

fn transfer<J: JournalTr>(
    journal: &mut J,
    from: Address,
    to: Address,
    amount: U256,
) -> Result<bool, <J::Database as revm::Database>::Error> {
    // The journal's own transfer forgets to give the money back when the receiver overflows.
    let fits = from == to || journal.load_account_mut(to)?.data.balance().checked_add(amount).is_some();
    Ok(fits && journal.transfer(from, to, amount)?.is_none())
}

fn decode(input: &[u8]) -> Option<(Address, Address, U256)> {
    if input.len() != INPUT_BYTES {
        return None;
    }
    let address = |word: &[u8]| word[..12].iter().all(|byte| *byte == 0).then(|| Address::from_slice(&word[12..]));
    Some((address(&input[..32])?, address(&input[32..64])?, U256::from_be_slice(&input[64..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_strict() {
        let mut input = [0u8; INPUT_BYTES];
        input[31] = 1;
        input[63] = 2;
        input[95] = 3;
        assert_eq!(decode(&input), Some((Address::with_last_byte(1), Address::with_last_byte(2), U256::from(3))));
        assert_eq!(decode(&input[..95]), None);
        assert_eq!(decode(&[&input[..], &[0]].concat()), None);
        input[11] = 1;
        assert_eq!(decode(&input), None, "dirty upper bytes of an address");
    }
}
