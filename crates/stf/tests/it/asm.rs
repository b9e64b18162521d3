//! A few opcodes and how to put them together.

use alloy_primitives::{Address, Bytes, U256};

pub(crate) const STOP: u8 = 0x00;
pub(crate) const CALLER: u8 = 0x33;
pub(crate) const CALLVALUE: u8 = 0x34;
pub(crate) const CALLDATASIZE: u8 = 0x36;
pub(crate) const CALLDATACOPY: u8 = 0x37;
pub(crate) const CODECOPY: u8 = 0x39;
pub(crate) const GASPRICE: u8 = 0x3a;
pub(crate) const EXTCODESIZE: u8 = 0x3b;
pub(crate) const EXTCODEHASH: u8 = 0x3f;
pub(crate) const BLOCKHASH: u8 = 0x40;
pub(crate) const SELFBALANCE: u8 = 0x47;
pub(crate) const BASEFEE: u8 = 0x48;
pub(crate) const BLOBHASH: u8 = 0x49;
pub(crate) const BLOBBASEFEE: u8 = 0x4a;
pub(crate) const BALANCE: u8 = 0x31;
pub(crate) const POP: u8 = 0x50;
pub(crate) const MSTORE: u8 = 0x52;
pub(crate) const SLOAD: u8 = 0x54;
pub(crate) const SSTORE: u8 = 0x55;
pub(crate) const GAS: u8 = 0x5a;
pub(crate) const TLOAD: u8 = 0x5c;
pub(crate) const TSTORE: u8 = 0x5d;
pub(crate) const CREATE: u8 = 0xf0;
pub(crate) const CALL: u8 = 0xf1;
pub(crate) const RETURN: u8 = 0xf3;
pub(crate) const DELEGATECALL: u8 = 0xf4;
pub(crate) const CREATE2: u8 = 0xf5;
pub(crate) const STATICCALL: u8 = 0xfa;
pub(crate) const REVERT: u8 = 0xfd;
pub(crate) const INVALID: u8 = 0xfe;
pub(crate) const SELFDESTRUCT: u8 = 0xff;

/// Code under construction.
#[derive(Clone, Default)]
pub(crate) struct Asm(pub(crate) Vec<u8>);

impl Asm {
    pub(crate) fn op(mut self, ops: &[u8]) -> Self {
        self.0.extend_from_slice(ops);
        self
    }

    /// Pushes a number in the fewest bytes.
    pub(crate) fn push(mut self, value: impl TryInto<U256, Error: std::fmt::Debug>) -> Self {
        let bytes = value.try_into().unwrap().to_be_bytes_trimmed_vec();
        self.0.push(0x5f + bytes.len() as u8);
        self.0.extend(bytes);
        self
    }

    pub(crate) fn address(mut self, address: Address) -> Self {
        self.0.push(0x73);
        self.0.extend(address);
        self
    }

    /// `storage[slot] = top of the stack`.
    pub(crate) fn store(self, slot: u64) -> Self {
        self.push(U256::from(slot)).op(&[SSTORE])
    }

    /// A call of `kind` with the whole calldata as input; the flag is left on the stack.
    pub(crate) fn forward(self, kind: u8, target: Address, value: u64) -> Self {
        // calldatacopy(0, 0, size)
        let code = self.op(&[CALLDATASIZE]).push(U256::ZERO).push(U256::ZERO).op(&[CALLDATACOPY]);
        let code = code.push(U256::ZERO).push(U256::ZERO).op(&[CALLDATASIZE]).push(U256::ZERO);
        let code = if kind == CALL { code.push(U256::from(value)) } else { code };
        code.address(target).op(&[GAS, kind])
    }

    /// `CREATE2` (or `CREATE`) of `init` with `value`; the address is left on the stack.
    pub(crate) fn create(self, init: &[u8], value: u64, salt: Option<u64>) -> Self {
        let mut code = self;
        for (index, chunk) in init.chunks(32).enumerate() {
            let mut word = [0u8; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            code = code.push(U256::from_be_bytes(word)).push(U256::from(32 * index)).op(&[MSTORE]);
        }
        if let Some(salt) = salt {
            code = code.push(U256::from(salt));
        }
        let op = if salt.is_some() { CREATE2 } else { CREATE };
        code.push(U256::from(init.len())).push(U256::ZERO).push(U256::from(value)).op(&[op])
    }

    pub(crate) fn bytes(self) -> Bytes {
        self.0.into()
    }
}

pub(crate) fn asm() -> Asm {
    Asm::default()
}

/// Init code that runs `constructor` and deploys `runtime`.
pub(crate) fn init_code(constructor: Asm, runtime: &[u8]) -> Vec<u8> {
    // codecopy(0, offset, size); return(0, size), with fixed widths so that the offset is known.
    let tail = 3 + 3 + 1 + 1 + 3 + 1 + 1;
    let size = (runtime.len() as u16).to_be_bytes();
    let offset = ((constructor.0.len() + tail) as u16).to_be_bytes();
    let mut code = constructor.0;
    code.extend([0x61, size[0], size[1], 0x61, offset[0], offset[1], 0x5f, CODECOPY]);
    code.extend([0x61, size[0], size[1], 0x5f, RETURN]);
    code.extend_from_slice(runtime);
    code
}

#[test]
fn init_code_deploys_its_tail() {
    let code = init_code(asm().op(&[GAS, POP]), &[1, 2, 3]);
    assert_eq!(code.len(), 2 + 13 + 3);
    assert_eq!(usize::from(code[2 + 5]), 2 + 13, "offset of the runtime");
}
