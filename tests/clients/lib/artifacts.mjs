// ABIs and bytecode: the repository's own artifacts, the test token compiled here, and Uniswap's published builds.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const here = new URL('..', import.meta.url)

/** An artifact of `contracts/`. */
export function artifact(name) {
  return JSON.parse(readFileSync(new URL(`../../contracts/artifacts/${name}.json`, here), 'utf8'))
}

let compiled
/** The test token of `contracts/Token.sol`, compiled by the npm compiler. */
export function testToken() {
  compiled ??= compile()
  return compiled
}

function compile() {
  // The compiler rethrows every unhandled rejection of the whole process, for as long as that lives.
  const before = process.listeners('unhandledRejection')
  const solc = require('solc')
  for (const added of process.listeners('unhandledRejection')) if (!before.includes(added)) process.off('unhandledRejection', added)
  const input = {
    language: 'Solidity',
    sources: { 'Token.sol': { content: readFileSync(new URL('contracts/Token.sol', here), 'utf8') } },
    settings: { evmVersion: 'prague', optimizer: { enabled: true }, outputSelection: { '*': { Token: ['abi', 'evm.bytecode.object'] } } },
  }
  const output = JSON.parse(solc.compile(JSON.stringify(input)))
  const errors = (output.errors ?? []).filter(({ severity }) => severity === 'error')
  if (errors.length) throw new Error(errors.map(({ formattedMessage }) => formattedMessage).join('\n'))
  const { abi, evm } = output.contracts['Token.sol'].Token
  return { abi, bytecode: `0x${evm.bytecode.object}` }
}

/** A build that Uniswap published. */
export function uniswap(path) {
  const { abi, evm, bytecode } = require(`@uniswap/${path}`)
  const code = bytecode ?? evm.bytecode.object
  return { abi, bytecode: code.startsWith('0x') ? code : `0x${code}` }
}
