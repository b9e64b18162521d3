// Uniswap v2 from its published bytecode: factory, router, wrapped METIS, liquidity, a swap.
import assert from 'node:assert/strict'
import { parseEther } from 'viem'
import { testToken, uniswap } from '../lib/artifacts.mjs'
import { ROLE, mined } from '../lib/network.mjs'

export default {
  'pool and swap of METIS against an ERC-20': async ({ l2, l2Wallet, accounts }, note) => {
    const wallet = l2Wallet(ROLE.uniswap)
    const me = accounts[ROLE.uniswap].address
    const deploy = async ({ abi, bytecode }, args) => {
      const receipt = await mined(l2, await wallet.deployContract({ abi, bytecode, args }))
      return { address: receipt.contractAddress, abi }
    }
    const factory = await deploy(uniswap('v2-core/build/UniswapV2Factory.json'), [me])
    const weth = await deploy(uniswap('v2-periphery/build/WETH9.json'), [])
    const router = await deploy(uniswap('v2-periphery/build/UniswapV2Router02.json'), [factory.address, weth.address])
    const token = await deploy(testToken(), ['Kelp', 'KLP', parseEther('1000000')])
    note(`router ${router.address}`)

    const deadline = BigInt(Math.floor(Date.now() / 1000) + 3_600)
    await mined(l2, await wallet.writeContract({ ...token, functionName: 'approve', args: [router.address, parseEther('1000')] }))
    const liquidity = [token.address, parseEther('1000'), 0n, 0n, me, deadline]
    await mined(l2, await wallet.writeContract({ ...router, functionName: 'addLiquidityETH', args: liquidity, value: parseEther('10') }))

    const path = [weth.address, token.address]
    const [, expected] = await l2.readContract({ ...router, functionName: 'getAmountsOut', args: [parseEther('1'), path] })
    const before = await l2.readContract({ ...token, functionName: 'balanceOf', args: [me] })
    const swap = [expected, path, me, deadline]
    // With gas of its own: an estimate in the second of the pair's last update lacks what its price accumulators cost a second later.
    const gas = 300_000n
    await mined(l2, await wallet.writeContract({ ...router, functionName: 'swapExactETHForTokens', args: swap, value: parseEther('1'), gas }))
    const received = (await l2.readContract({ ...token, functionName: 'balanceOf', args: [me] })) - before
    assert.equal(received, expected)
    // 1 METIS into a pool of 10 METIS and 1000 KLP, with a fee of 0.3 %.
    assert.equal(received, (parseEther('1') * 997n * parseEther('1000')) / (parseEther('10') * 1000n + parseEther('1') * 997n))
  },
}
