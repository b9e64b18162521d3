// BridgedERC20: an L1 token (or ether) on L2. Minted and burnt by L2Bridge only.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice One per L1 token, deployed by L2Bridge with CREATE2 when its first deposit arrives. No owner.
contract BridgedERC20 is ERC20 {
    error NotBridge(address caller);

    address public immutable BRIDGE;
    /// @notice The L1 token behind this one; zero for ether.
    address public immutable L1_TOKEN;
    uint8 private immutable _DECIMALS;

    constructor(address l1Token, string memory name_, string memory symbol_, uint8 decimals_) ERC20(name_, symbol_) {
        BRIDGE = msg.sender;
        L1_TOKEN = l1Token;
        _DECIMALS = decimals_;
    }

    modifier onlyBridge() {
        if (msg.sender != BRIDGE) revert NotBridge(msg.sender);
        _;
    }

    function decimals() public view override returns (uint8) {
        return _DECIMALS;
    }

    function mint(address to, uint256 amount) external onlyBridge {
        _mint(to, amount);
    }

    function burn(address from, uint256 amount) external onlyBridge {
        _burn(from, amount);
    }
}
