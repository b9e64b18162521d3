// FeeSplitter: L2's fees, split between the sequencers, those who post batches, the treasury, and nobody (burnt).
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IRollup} from "../interfaces/IRollup.sol";
import {GasPriceOracle} from "./GasPriceOracle.sol";
import {MiningRewards} from "./MiningRewards.sol";

/// @notice The Portal pays FeeVault's withdrawals to this address; whatever else of the token arrives here is treated the same.
contract FeeSplitter {
    using SafeERC20 for IERC20;

    error ConfigZero(string field);
    error NotGovernor(address caller);
    error SplitOutOfRange(uint256 sum, uint256 limit);

    event SplitSet(uint16 sequencersBps, uint16 postersBps, uint16 treasuryBps);
    event Settled(uint256 sequencers, uint256 posters, uint256 treasury, uint256 burnt);
    event Reimbursed(address indexed poster, uint256 amount, uint256 ether_);

    struct Config {
        IERC20 token;
        MiningRewards rewards;
        IRollup rollup;
        GasPriceOracle oracle;
        address governor; // the timelock
        address treasury;
        uint16 sequencersBps; // shares in basis points; what is left of 10,000 is burnt
        uint16 postersBps;
        uint16 treasuryBps;
    }

    uint256 private constant BPS = 10_000;
    /// @dev Scale of the oracle's ratio.
    uint256 private constant ONE = 1e18;
    /// @notice Where burnt tokens go: not every token lets its holders burn.
    address public constant BURNT = 0x000000000000000000000000000000000000dEaD;

    IERC20 public immutable TOKEN;
    MiningRewards public immutable REWARDS;
    IRollup public immutable ROLLUP;
    GasPriceOracle public immutable ORACLE;
    address public immutable GOVERNOR;
    address public immutable TREASURY;

    /// @notice Present shares, in basis points.
    uint16 public sequencersBps;
    uint16 public postersBps;
    uint16 public treasuryBps;
    /// @notice Wei of the token kept for posters; everything above it in this contract's balance is new.
    uint256 public posterPot;
    /// @notice Wei of ether of a poster's costs that have been reimbursed.
    mapping(address poster => uint256) public paidFor;

    constructor(Config memory config) {
        if (config.treasury == address(0)) revert ConfigZero("treasury");
        TOKEN = config.token;
        REWARDS = config.rewards;
        ROLLUP = config.rollup;
        ORACLE = config.oracle;
        GOVERNOR = config.governor;
        TREASURY = config.treasury;
        _setSplit(config.sequencersBps, config.postersBps, config.treasuryBps);
    }

    /// @notice Changes the shares for fees that arrive from now on; those already here are settled by the old ones. Only the governor.
    function setSplit(uint16 sequencers, uint16 posters, uint16 treasury) external {
        if (msg.sender != GOVERNOR) revert NotGovernor(msg.sender);
        settle();
        _setSplit(sequencers, posters, treasury);
    }

    function _setSplit(uint16 sequencers, uint16 posters, uint16 treasury) private {
        uint256 sum = uint256(sequencers) + posters + treasury;
        if (sum > BPS) revert SplitOutOfRange(sum, BPS);
        (sequencersBps, postersBps, treasuryBps) = (sequencers, posters, treasury);
        emit SplitSet(sequencers, posters, treasury);
    }

    /// @notice Wei of the token that the next `settle` will split.
    function unsettled() public view returns (uint256) {
        return TOKEN.balanceOf(address(this)) - posterPot;
    }

    /// @notice Splits what has arrived since the last time. Anyone; does nothing where nothing has.
    function settle() public {
        uint256 fresh = unsettled();
        if (fresh == 0) return;
        uint256 sequencers = fresh * sequencersBps / BPS;
        uint256 posters = fresh * postersBps / BPS;
        uint256 treasury = fresh * treasuryBps / BPS;
        uint256 kept = uint256(sequencersBps) + postersBps + treasuryBps;
        uint256 burnt = fresh - sequencers - posters - treasury;
        // With nothing to burn by rule, the remainder of the divisions is the posters'.
        if (kept == BPS) (posters, burnt) = (posters + burnt, 0);
        posterPot += posters;
        if (sequencers != 0) {
            TOKEN.forceApprove(address(REWARDS), sequencers);
            REWARDS.addFees(sequencers);
        }
        if (treasury != 0) TOKEN.safeTransfer(TREASURY, treasury);
        if (burnt != 0) TOKEN.safeTransfer(BURNT, burnt);
        emit Settled(sequencers, posters, treasury, burnt);
    }

    /// @notice Wei of ether that `poster` is still owed, and the wei of the token that this is at the oracle's present price.
    function owed(address poster) public view returns (uint256 ether_, uint256 amount) {
        ether_ = ROLLUP.postingCost(poster) - paidFor[poster];
        amount = Math.mulDiv(ether_, ORACLE.ratio(), ONE);
    }

    /// @notice Pays `poster` what it is owed, as far as the pot goes. Anyone; settles first.
    function reimburse(address poster) external returns (uint256 amount) {
        settle();
        uint256 ether_;
        (ether_, amount) = owed(poster);
        if (amount > posterPot) {
            amount = posterPot;
            // Rounded up: never paid twice.
            ether_ = Math.mulDiv(amount, ONE, ORACLE.ratio(), Math.Rounding.Ceil);
        }
        posterPot -= amount;
        paidFor[poster] += ether_;
        TOKEN.safeTransfer(poster, amount);
        emit Reimbursed(poster, amount, ether_);
    }
}
