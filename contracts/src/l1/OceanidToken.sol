// OceanidToken: the gas token on a development L1. A real deployment names its own ERC-20 instead.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @notice Fixed supply, 18 decimals, EIP-2612 permits, no owner.
contract OceanidToken is ERC20Permit {
    /// @param holder Receives the whole supply.
    /// @param supply In wei of the token.
    constructor(address holder, uint256 supply) ERC20("Metis (dev)", "METIS") ERC20Permit("Metis (dev)") {
        _mint(holder, supply);
    }
}
